package wire_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

func TestErrorBody_Exact(t *testing.T) {
	t.Parallel()
	cause := errors.New("secret cause")
	cases := map[string]struct {
		status int
		err    *operation.Error
		want   string
		schema string
	}{
		"400":      {400, &operation.Error{Message: "no"}, `{"code":400,"message":"Bad Request","detail":"no"}`, "BadRequest"},
		"401":      {401, &operation.Error{Message: "no", Err: cause}, `{"code":401,"message":"Unauthorized","detail":"no"}`, "Unauthorized"},
		"403":      {403, &operation.Error{}, `{"code":403,"message":"Forbidden","detail":null}`, "Forbidden"},
		"404 nil":  {404, nil, `{"code":404,"message":"Not Found","detail":null}`, "NotFound"},
		"405":      {405, nil, `{"code":405,"message":"Method Not Allowed","detail":null}`, "MethodNotAllowed"},
		"409":      {409, &operation.Error{Message: "paused"}, `{"code":409,"message":"Conflict","detail":"paused"}`, "Conflict"},
		"501":      {501, nil, `{"code":501,"message":"Not Implemented","detail":null}`, "NotImplementedResponse"},
		"503":      {503, &operation.Error{Message: "soon"}, `{"code":503,"message":"Service Unavailable","detail":"soon"}`, "ServiceUnavailable"},
		"504":      {504, nil, `{"code":504,"message":"Gateway Timeout","detail":null}`, "GatewayTimeout"},
		"500":      {500, &operation.Error{Message: "secret", Err: cause}, `{"message":"Internal Server Error"}`, "InternalServerError"},
		"422 none": {422, nil, `{"code":422,"message":"Invalid Request Body","detail":null}`, "UnprocessableEntity"},
		"422": {
			422, &operation.Error{Message: "x", Faults: []operation.Fault{{Path: "body.a", Input: "1", Message: "bad", Type: "enum"}, {Path: "query.b"}}},
			`{"code":422,"message":"Invalid Request Body","detail":[{"path":"body.a","input":"1","message":"bad","error_type":"enum"},` +
				`{"path":"query.b","input":"","message":"","error_type":""}]}`, "UnprocessableEntity",
		},
		"429": {
			429, &operation.Error{Message: "slow down", RetryAfter: 1500 * time.Millisecond},
			`{"code":429,"message":"Too Many Requests","detail":{"retry_after_seconds":2,"message":"slow down"}}`, "TooManyRequests",
		},
		"429 nil": {
			429, nil,
			`{"code":429,"message":"Too Many Requests","detail":{"retry_after_seconds":1,"message":"Too many requests; come back later."}}`, "TooManyRequests",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := json.Marshal(wire.ErrorBody(c.status, c.err))
			require.NoError(t, err)
			require.Equal(t, c.want, string(body))
			validate(t, c.schema, body)
		})
	}
}

func TestStatusOf_CoversEveryCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[operation.Code]int{
		operation.CodeInvalid: 422, operation.CodeBadRequest: 400, operation.CodeUnauthorized: 401, operation.CodeForbidden: 403,
		operation.CodeNotFound: 404, operation.CodeConflict: 409, operation.CodeNotImplemented: 501, operation.CodeRateLimited: 429,
		operation.CodeUnavailable: 503, operation.CodeInternal: 500, "": 500, "other": 500,
	} {
		require.Equal(t, want, wire.StatusOf(code), code)
	}
}

func TestRetryAfterSeconds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int{-time.Hour: 1, 0: 1, time.Nanosecond: 1, time.Second: 1, time.Second + 1: 2, time.Hour: 3600} {
		require.Equal(t, want, wire.RetryAfterSeconds(d), d)
	}
}
