package httpapi

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/pkg/operation"
)

// TestCreateUser_Outcomes has one row for each answer and each rule that decides
// between them.
func TestCreateUser_Outcomes(t *testing.T) {
	t.Parallel()
	const name = `"first_name":"Ada"`
	for _, row := range []struct {
		what       string
		connection uuid.UUID
		query      string
		fields     string
		setup      func(*memory)
		status     int
		detail     string
	}{
		{"accepted", connOne, "", name, nil, 202, ""},
		{"sync, made", connOne, "?is_sync=true", name, nil, 200, ""},
		{"sync, refused by the provider", connOne, "?is_sync=true", name, func(m *memory) {
			m.outcome = &operation.Failure{Type: operation.ErrorValidation, StatusCode: 422, Detail: "the username is taken"}
		}, 502, ""},
		{"unknown connection", uuid.New(), "", name, nil, 404, "no such connection"},
		{"another partner's connection", connOther, "", name, nil, 404, "no such connection"},
		{"deleted connection", connDeleted, "", name, nil, 404, "no such connection"},
		{"paused connection", connPaused, "", name, nil, 409, "paused"},
		{"share level read", connReadOnly, "", name, nil, 403, "read"},
		{"provider without writes", connNoAdapter, "", name, nil, 501, "wialon"},
		{"provider without creates", connTwo, "", name, nil, 501, "motive"},
		{"store away", connOne, "", name, func(m *memory) {
			m.fault = &operation.Error{Code: operation.CodeUnavailable, Message: "come back", RetryAfter: 3 * time.Second}
		}, 503, "come back"},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			if row.setup != nil {
				row.setup(api.memory)
			}
			got := api.create(row.query, row.connection, row.fields)
			require.Equal(t, row.status, got.status, got.text)
			if row.detail != "" {
				require.Contains(t, got.body["detail"], row.detail)
			}
			if row.status >= 300 && row.status != 502 {
				require.Empty(t, api.memory.all(), "a refusal must store nothing")
			}
		})
	}
}

func TestCreateUser_WhatIsAccepted(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	got := api.create("", connOne, `"first_name":"Ada","notes":null`)
	require.Equal(t, 202, got.status, got.text)
	require.Equal(t, "create", got.body["operation_type"])
	require.Equal(t, "pending", got.body["status"])
	require.Contains(t, got.body, "resource_id")
	require.Nil(t, got.body["resource_id"])
	require.Nil(t, got.body["source_id"])
	require.Equal(t, map[string]any{"first_name": "Ada", "notes": nil}, got.body["payload"])
	require.NotContains(t, got.body, "dry_run")
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Equal(t, got.body["id"], api.get(got.header.Get("Location")).body["id"])

	op := api.memory.all()[0]
	require.Equal(t, operation.Create, op.Type)
	require.Equal(t, partnerOne, op.PartnerID)
	require.Equal(t, "fleet-one", op.FleetRef)
	require.Equal(t, uuid.Nil, op.ResourceID)
	require.Empty(t, op.SourceID)
	require.Equal(t, 5, op.MaxAttempts)
}

// What the provider needs is asked for before anything is stored, with every other
// fault of the body first.
func TestCreateUser_RequiredFields(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string][]any{
		`"notes":"x"`:                    {"body.first_name", "missing"},
		`"first_name":null`:              {"body.first_name", "missing"},
		`"x":1`:                          {"body.first_name", "missing"},
		`"first_name":7`:                 {"body.first_name", "string_type"},
		`"notes":"x","status":"PAUSED"`:  {"body.status", "enum"},
		`"first_name":"","is_driver":""`: {"body.is_driver", "bool_parsing"},
	} {
		api := newAPI(t, Config{})
		got := api.create("", connOne, fields)
		require.Equal(t, 422, got.status, got.text)
		require.Len(t, got.body["detail"], 1)
		fault := got.body["detail"].([]any)[0].(map[string]any)
		require.Equal(t, want, []any{fault["path"], fault["error_type"]})
		require.Empty(t, api.memory.all())
	}
	api := newAPI(t, Config{})
	got := api.send(request{method: http.MethodPost, path: "/v2/telematics/users", body: `{"connection_id":"` + connOne.String() + `"}`})
	require.Equal(t, 422, got.status, "a body without any field lacks the required ones: %s", got.text)
}

func TestCreateUser_IdempotencyKey(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	send := func(method, path, name string) response {
		return api.send(request{
			method: method, path: path, header: http.Header{"Idempotency-Key": {"k"}},
			body: `{"connection_id":"` + connOne.String() + `","first_name":"` + name + `"}`,
		})
	}
	const path = "/v2/telematics/users"
	one, again := send(http.MethodPost, path, "Ada"), send(http.MethodPost, path, "Ada")
	require.Equal(t, 202, again.status, again.text)
	require.Equal(t, one.body["id"], again.body["id"])
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, 422, send(http.MethodPost, path, "Eve").status, "another body")
	require.NotEqual(t, one.body["id"], send(http.MethodPatch, usersPath+userOne.String(), "Ada").body["id"], "another route")
	require.Len(t, api.memory.all(), 2)
}

// TestTSPs_WriteSupport reads what the adapters say of themselves.
func TestTSPs_WriteSupport(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	user := func(name string) map[string]any {
		got := api.get(tspsPath + "/" + directory.TSPID(name).String())
		require.Equal(t, 200, got.status, got.text)
		if _, ok := got.body["write_support"]; !ok {
			return nil
		}
		return got.body["write_support"].(map[string]any)["user"].(map[string]any)
	}
	samsara := user("samsara")
	require.Equal(t, true, samsara["update"])
	require.Equal(t, map[string]any{"supported": true, "required": []any{"first_name"}, "note": "Makes a driver."}, samsara["create"])
	fields := samsara["fields"].(map[string]any)
	require.Len(t, fields, len(operation.UserFields), "every field is told about")
	require.Equal(t, map[string]any{"writable": true, "clearable": false, "note": "Joined with last_name."}, fields["first_name"])
	require.Equal(t, map[string]any{"writable": true, "clearable": true, "note": nil}, fields["notes"])
	require.Equal(t, map[string]any{"writable": false, "clearable": false, "note": "The provider has no such field."}, fields["dot_id"])
	require.Equal(t, map[string]any{"supported": false, "required": []any{}, "note": nil}, user("motive")["create"], "it is no Creator")
	require.Nil(t, user("wialon"), "no adapter")

	listed := 0
	for _, item := range api.get(tspsPath).body["items"].([]any) {
		if support, ok := item.(map[string]any)["write_support"]; ok && support != nil {
			listed++
		}
	}
	require.Equal(t, 2, listed)
}
