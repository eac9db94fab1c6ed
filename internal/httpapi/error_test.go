package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/auth"
	"writeback/internal/metrics"
	"writeback/pkg/operation"
)

// TestErrors_Shapes has one row for each error body of the contract.
func TestErrors_Shapes(t *testing.T) {
	t.Parallel()
	simple := func(status int) []string {
		return []string{"code", "detail", "message", strconv.Itoa(status), http.StatusText(status)}
	}
	for _, row := range []struct {
		code operation.Code
		want []string
	}{
		{operation.CodeBadRequest, simple(400)},
		{operation.CodeUnauthorized, simple(401)},
		{operation.CodeForbidden, simple(403)},
		{operation.CodeNotFound, simple(404)},
		{operation.CodeConflict, simple(409)},
		{operation.CodeNotImplemented, simple(501)},
		{operation.CodeUnavailable, simple(503)},
		{operation.CodeInvalid, []string{"code", "detail", "message", "422", "Invalid Request Body"}},
		{operation.CodeRateLimited, []string{"code", "detail", "message", "429", "Too Many Requests"}},
		{operation.CodeInternal, []string{"message", "", "Internal Server Error"}},
		{"never heard of", []string{"message", "", "Internal Server Error"}},
	} {
		t.Run(string(row.code), func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			api.memory.fault = fmt.Errorf("wrapped: %w", &operation.Error{
				Code: row.code, Message: "in words", RetryAfter: 1200 * time.Millisecond, Err: errors.New("redis at 10.0.0.1"),
			})
			got := api.patch(userOne, "", connOne, `"notes":"x"`)
			keys := []string{}
			for key := range got.body {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			n := len(row.want)
			require.Equal(t, row.want[:n-2], keys, got.text)
			require.Equal(t, row.want[n-1], got.body["message"])
			if row.want[n-2] != "" {
				require.Equal(t, row.want[n-2], strconv.Itoa(int(got.body["code"].(float64))))
				require.Equal(t, row.want[n-2], strconv.Itoa(got.status))
			} else {
				require.Equal(t, 500, got.status)
			}
			require.NotContains(t, got.text, "10.0.0.1")
			require.EqualValues(t, got.status, api.line(t)["status"])
			require.Contains(t, api.log.String(), "10.0.0.1", "the cause belongs into the log")
			switch row.code {
			case operation.CodeRateLimited:
				require.Equal(t, map[string]any{"retry_after_seconds": 2.0, "message": "in words"}, got.body["detail"])
				require.Equal(t, "2", got.header.Get("Retry-After"))
			case operation.CodeUnavailable:
				require.Equal(t, "2", got.header.Get("Retry-After"))
			case operation.CodeInvalid:
				require.Contains(t, got.text, "in words")
			default:
				require.Empty(t, got.header.Get("Retry-After"))
			}
		})
	}
}

func TestErrors_UnknownIsInternal(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	api.memory.fault = fmt.Errorf("store: %w", errors.New("dial 10.0.0.1"))
	got := api.get(operationsPath)
	require.Equal(t, 500, got.status)
	require.JSONEq(t, `{"message":"Internal Server Error"}`, got.text)
	require.Contains(t, api.log.String(), "dial 10.0.0.1")
}

func TestErrors_DeadlineIsUnavailable(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	api.memory.fault = fmt.Errorf("store: %w", context.DeadlineExceeded)
	got := api.get(operationsPath)
	require.Equal(t, 503, got.status)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Equal(t, "Service Unavailable", got.body["message"])
}

// TestErrors_StoreAwayIsNoNotFound: who is told that an operation is not there gives it up.
func TestErrors_StoreAwayIsNoNotFound(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	api.memory.fault = &operation.Error{Code: operation.CodeUnavailable, Message: "the store is away", RetryAfter: 2 * time.Second}
	one := connectionsPath + connOne.String() + "/resource-operations/" + uuid.NewString()
	for _, call := range []request{{path: one}, {method: http.MethodPost, path: one + "/cancel"}, {method: http.MethodPost, path: one + "/retry"}} {
		got := api.send(call)
		require.Equal(t, 503, got.status, call.path)
		require.Equal(t, "2", got.header.Get("Retry-After"), call.path)
	}
}

func TestRejection_HasALabelOfItsOwn(t *testing.T) {
	t.Parallel()
	for label, err := range map[string]error{
		metrics.TokenUnavailable: auth.ErrUnavailable, metrics.TokenExpired: auth.ErrExpired, metrics.TokenInvalid: auth.ErrInvalid,
		metrics.Other: errors.New("another"),
	} {
		require.Equal(t, label, rejection(fmt.Errorf("why: %w", err)))
	}
}

func TestErrors_NotFoundAndMethod(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	got := api.send(request{path: "/nowhere", header: http.Header{"Authorization": nil}})
	require.Equal(t, 404, got.status)
	require.Equal(t, "Not Found", got.body["message"])
	for _, row := range []struct{ method, path, allow string }{
		{http.MethodDelete, usersPath + userOne.String(), "GET, HEAD, PATCH"},
		{http.MethodPost, operationsPath, "GET, HEAD"},
		{http.MethodPut, "/docs", "GET, HEAD"},
		{"BREW", "/v2/telematics/users", "GET, HEAD, POST"},
	} {
		got := api.send(request{method: row.method, path: row.path})
		require.Equal(t, 405, got.status, row.path)
		require.Equal(t, row.allow, got.header.Get("Allow"), row.path)
		require.EqualValues(t, 405, got.body["code"])
		require.Equal(t, "Method Not Allowed", got.body["message"])
		require.IsType(t, "", got.body["detail"])
	}
}
