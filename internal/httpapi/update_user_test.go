package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// TestUpdateUser_Outcomes has one row for each row of the contract's response
// table and for each rule that decides between them.
func TestUpdateUser_Outcomes(t *testing.T) {
	t.Parallel()
	name := func(c uuid.UUID) string { return `{"connection_id":"` + c.String() + `","first_name":"Ada"}` }
	for _, row := range []struct {
		what   string
		path   string
		body   string
		setup  func(*memory)
		status int
		detail string
	}{
		{"accepted", usersPath + userOne.String(), name(connOne), nil, 202, ""},
		{"accepted, sync off", usersPath + userOne.String() + "?is_sync=false", name(connOne), nil, 202, ""},
		{"sync, accepted by the provider", usersPath + userOne.String() + "?is_sync=true", name(connOne), nil, 200, ""},
		{"sync, refused by the provider", usersPath + userOne.String() + "?is_sync=true", name(connOne), func(m *memory) {
			m.outcome = &operation.Failure{Type: operation.ErrorValidation, StatusCode: 422, Detail: "no such field"}
		}, 502, ""},
		{"no fields", usersPath + userOne.String(), `{"connection_id":"` + connOne.String() + `"}`, nil, 400, "no fields to update"},
		{"unknown user", usersPath + uuid.NewString(), name(connOne), nil, 404, "no such user"},
		{"unknown connection", usersPath + userOne.String(), name(uuid.New()), nil, 404, "no such user"},
		{"user of another connection", usersPath + userOne.String(), name(connTwo), nil, 404, "no such user"},
		{"deleted connection", usersPath + userDeleted.String(), name(connDeleted), nil, 404, "no such user"},
		{"paused connection", usersPath + userPaused.String(), name(connPaused), nil, 409, "paused"},
		{"stale connection", usersPath + userStale.String(), name(connStale), nil, 409, "stale"},
		{"failed connection", usersPath + userFailed.String(), name(connFailed), nil, 409, "failed"},
		{"cancelled connection", usersPath + userCancelled.String(), name(connCancelled), nil, 409, "cancelled"},
		{"share level read", usersPath + userReadOnly.String(), name(connReadOnly), nil, 403, "read"},
		{"provider without writes", usersPath + userNoAdapter.String(), name(connNoAdapter), nil, 501, "wialon"},
		{"earlier operations outstanding", usersPath + userOne.String() + "?is_sync=true", name(connOne), func(m *memory) {
			m.fault = &operation.Error{Code: operation.CodeConflict, Message: "earlier updates are outstanding"}
		}, 409, "earlier updates"},
		{"too many", usersPath + userOne.String(), name(connOne), func(m *memory) {
			m.fault = &operation.Error{Code: operation.CodeRateLimited, Message: "slow down", RetryAfter: 1500 * time.Millisecond}
		}, 429, ""},
		{"store away", usersPath + userOne.String(), name(connOne), func(m *memory) {
			m.fault = &operation.Error{Code: operation.CodeUnavailable, Message: "come back", RetryAfter: 3 * time.Second}
		}, 503, "come back"},
		{"our own fault", usersPath + userOne.String(), name(connOne), func(m *memory) {
			m.fault = &operation.Error{Code: operation.CodeInternal, Message: "secret detail"}
		}, 500, ""},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			if row.setup != nil {
				row.setup(api.memory)
			}
			got := api.send(request{method: http.MethodPatch, path: row.path, body: row.body})
			require.Equal(t, row.status, got.status, got.text)
			if row.detail != "" {
				require.Contains(t, got.body["detail"], row.detail)
			}
			require.NotContains(t, got.text, "secret")
			if row.status >= 300 && row.status != 502 {
				require.Empty(t, api.memory.all(), "a refusal must store nothing")
			}
		})
	}
}

func TestUpdateUser_AnswersAreOneObject(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		query, status string
		outcome       *operation.Failure
		logs          int
	}{
		{"", "pending", nil, 0},
		{"?is_sync=true", "success", nil, 1},
		{"?is_sync=true", "failed", &operation.Failure{Type: operation.ErrorTSP, Detail: "it broke"}, 1},
	} {
		t.Run(row.status, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			api.memory.outcome = row.outcome
			got := api.patch(userOne, row.query, connOne, `"first_name":"Ada","notes":null`)
			require.Equal(t, row.status, got.body["status"], got.text)
			require.Len(t, got.body["logs"], row.logs)
			require.Equal(t, "user", got.body["resource"])
			require.Equal(t, "update", got.body["operation_type"])
			require.Equal(t, userOne.String(), got.body["resource_id"])
			require.Equal(t, connOne.String(), got.body["connection_id"])
			require.Equal(t, partnerOne.String(), got.body["partner_id"])
			require.Equal(t, map[string]any{"first_name": "Ada", "notes": nil}, got.body["payload"])

			place := "/v2/integrations/connections/" + connOne.String() + "/resource-operations/" + got.body["id"].(string)
			require.Equal(t, place, got.header.Get("Location"))
			require.Equal(t, place, got.header.Get("Operation-Location"))
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.Equal(t, row.status == "pending", got.header.Get("Retry-After") == "1")
			read := api.get(place)
			require.Equal(t, 200, read.status, read.text)
			require.Equal(t, got.body["id"], read.body["id"])
		})
	}
}

func TestUpdateUser_WhatIsAccepted(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	got := api.send(request{
		method: http.MethodPatch, path: usersPath + userOne.String(),
		body: `{"connection_id":"` + connOne.String() + `","is_active":false}`,
		header: http.Header{
			"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
			"Tracestate":  {"vendor=1"},
		},
	})
	require.Equal(t, 202, got.status, got.text)
	op := api.memory.all()[0]
	require.Equal(t, operation.Version, op.Version)
	require.Equal(t, uuid.Version(7), op.ID.Version())
	require.Equal(t, partnerOne, op.PartnerID)
	require.Equal(t, "fleet-one", op.FleetRef)
	require.Equal(t, "samsara", op.Provider)
	require.Equal(t, sourceOf(userOne), op.SourceID)
	require.Equal(t, operation.Changes{operation.FieldIsActive: operation.Flag(false)}, op.Changes)
	require.False(t, op.Sync)
	require.Equal(t, 5, op.MaxAttempts, "the connection's own limit comes before the provider's")
	require.Equal(t, 5, api.memory.limits.MaxAttempts)
	require.Equal(t, 3, api.memory.limits.InFlight, "the provider's limit comes before the default")
	require.Equal(t, operation.DefaultDeadline, api.memory.limits.Deadline)
	require.Contains(t, op.TraceParent, "0af7651916cd43dd8448eb211c80319c")
	require.Equal(t, "vendor=1", op.TraceState)
	require.Nil(t, op.Key)
}

// TestUpdateUser_OrderOfChecks sends a request with every fault from a row on:
// the answer must be that of the first.
func TestUpdateUser_OrderOfChecks(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", DefaultMaxBody+1)
	for _, row := range []struct {
		what   string
		token  string
		kind   string
		body   string
		path   string
		status int
	}{
		{"token", "bad", "text/plain", big, "nonsense", 401},
		{"scope", token(partnerOne, "telematics:read"), "text/plain", big, "nonsense", 403},
		{"content type", "", "text/plain", big, "nonsense", 415},
		{"size", "", "application/json", big, "nonsense", 413},
		{"syntax", "", "application/json", "{", "nonsense", 400},
		{"faults", "", "application/json", `{"connection_id":"x"}`, "nonsense", 422},
		{"look-up", "", "application/json", `{"connection_id":"` + uuid.NewString() + `","notes":""}`, uuid.NewString(), 404},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			got := api.send(request{
				method: http.MethodPatch, path: usersPath + row.path, body: row.body, token: row.token,
				header: http.Header{"Content-Type": {row.kind}},
			})
			require.Equal(t, row.status, got.status, got.text)
		})
	}
}

func TestUpdateUser_FaultsOfPathQueryAndBodyComeTogether(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	got := api.send(request{
		method: http.MethodPatch, path: usersPath + "not-a-uuid?is_sync=perhaps",
		body: `{"connection_id":"nope","status":"SUSPENDED","license_expiration":"soon"}`,
	})
	require.Equal(t, 422, got.status, got.text)
	var paths []string
	for _, d := range got.body["detail"].([]any) {
		fault := d.(map[string]any)
		require.Len(t, fault, 4)
		for _, key := range []string{"path", "input", "message", "error_type"} {
			require.IsType(t, "", fault[key])
		}
		paths = append(paths, fault["path"].(string))
	}
	require.ElementsMatch(t, []string{
		"path.user_id", "query.is_sync", "body.connection_id", "body.status", "body.license_expiration",
	}, paths)
}

func TestUpdateUser_IdempotencyKey(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	send := func(user uuid.UUID, first, query string, keys ...string) response {
		return api.send(request{
			method: http.MethodPatch, path: usersPath + strings.ToUpper(user.String()) + query,
			body:   `{"connection_id":"` + connOne.String() + `","first_name":"` + first + `"}`,
			header: http.Header{"Idempotency-Key": keys},
		})
	}
	one := send(userOne, "Ada", "", "key-1")
	require.Equal(t, 202, one.status, one.text)
	require.Empty(t, one.header.Get("Idempotency-Replayed"))
	again := send(userOne, "Ada", "", "key-1")
	require.Equal(t, 202, again.status)
	require.Equal(t, one.body["id"], again.body["id"])
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, one.body["id"], send(userOne, "Ada", "", `"key-1"`).body["id"], "the quoted form is the same key")
	require.Equal(t, one.header.Get("Location"), again.header.Get("Location"))
	require.Equal(t, 422, send(userOne, "Eve", "", "key-1").status, "another body")
	require.Equal(t, 422, send(userOne, "Ada", "?is_sync=true", "key-1").status, "another query")
	require.NotEqual(t, one.body["id"], send(userOne, "Ada", "", "key-2").body["id"])
	require.NotEqual(t, one.body["id"], send(userOneB, "Ada", "", "key-1").body["id"], "another path")
	long := strings.Repeat("k", 255)
	require.Equal(t, 202, send(userOne, "Ada", "", long).status)
	require.Equal(t, 422, send(userOne, "Eve", "", long).status, "the key is shown as far as any input")
	for _, keys := range [][]string{{""}, {"a", "b"}, {strings.Repeat("k", 256)}, {"sp ace"}, {`""`}, {`"open`}, {`"a"b"`}, {`"a\b"`}, {`"a\`}, {"k\u00e9y"}} {
		require.Equal(t, 400, send(userOne, "Ada", "", keys...).status, keys)
	}
	for _, op := range api.memory.all() {
		require.NotContains(t, op.Key.Scope+op.Key.Fingerprint, "key-")
	}
}

// TestUpdateUser_UnknownOutcomeSaysWhereToRead: a write that may have been taken has a
// place to read, and one that was not has none.
func TestUpdateUser_UnknownOutcomeSaysWhereToRead(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for _, query := range []string{"", "?is_sync=true"} {
		op := uuid.New()
		api.memory.fault = &operation.Error{Code: operation.CodeUnavailable, Message: "who knows", Operation: op}
		got := api.patch(userOne, query, connOne, `"notes":"x"`)
		require.Equal(t, 503, got.status, got.text)
		require.Equal(t, connectionsPath+connOne.String()+"/resource-operations/"+op.String(), got.header.Get("Location"))
		api.memory.fault = &operation.Error{Code: operation.CodeUnavailable, Message: "not taken"}
		require.Empty(t, api.patch(userOne, query, connOne, `"notes":"x"`).header.Get("Location"))
	}
}
