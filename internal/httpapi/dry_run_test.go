package httpapi

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/admission"
	"writeback/pkg/operation"
)

func TestDryRun_ShowsAndStoresNothing(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	update := api.patch(userOne, "?dry_run=true", connOne, `"first_name":"Ada","phone_number":"5550142"`)
	create := api.create("?dry_run=1&is_sync=false", connOne, `"first_name":"Ada","phone_number":"5550142"`)
	for kind, got := range map[string]response{"update": update, "create": create} {
		require.Equal(t, 200, got.status, got.text)
		require.Equal(t, kind, got.body["operation_type"])
		require.Equal(t, "success", got.body["status"])
		require.Empty(t, got.body["logs"])
		requests := got.body["dry_run"].(map[string]any)["requests"].([]any)
		require.Len(t, requests, 1)
		call := requests[0].(map[string]any)
		require.Equal(t, "PATCH", call["method"])
		require.Equal(t, map[string]any{"first_name": "Ada", "phone_number": "5550142"}, call["body"])
		for _, name := range []string{"Location", "Operation-Location", "Retry-After"} {
			require.Empty(t, got.header.Get(name), "there is nothing to come back to")
		}
		place := "/v2/integrations/connections/" + connOne.String() + "/resource-operations/" + got.body["id"].(string)
		require.Equal(t, 404, api.get(place).status)
	}
	require.Empty(t, api.memory.all())
	require.Empty(t, api.get(operationsPath).ids(t))
	require.NotContains(t, api.log.String(), "5550142", "personal data is for the partner only")
}

// It worked, whatever it found: the status tells.
func TestDryRun_TellsWhatTheProviderWouldRefuse(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	api.memory.outcome = &operation.Failure{Type: operation.ErrorValidation, Detail: "notes: too long; dot_id: no such field"}
	got := api.patch(userOne, "?dry_run=true", connOne, `"notes":"x","dot_id":"1"`)
	require.Equal(t, 200, got.status, got.text)
	require.Equal(t, "failed", got.body["status"])
	require.Equal(t, map[string]any{"requests": []any{}}, got.body["dry_run"])
	row := got.body["logs"].([]any)[0].(map[string]any)
	require.Equal(t, "validation", row["error_type"])
	require.Equal(t, api.memory.outcome.Detail, row["error_details"])
	require.Empty(t, api.memory.all())
}

// What refuses a write refuses its dry run.
func TestDryRun_Refusals(t *testing.T) {
	t.Parallel()
	const name = `"first_name":"Ada"`
	for what, row := range map[string]struct {
		send   func(*api) response
		status int
	}{
		"with is_sync":        {func(a *api) response { return a.patch(userOne, "?dry_run=true&is_sync=true", connOne, name) }, 422},
		"create with is_sync": {func(a *api) response { return a.create("?dry_run=true&is_sync=true", connOne, name) }, 422},
		"faults":              {func(a *api) response { return a.patch(userOne, "?dry_run=true", connOne, `"status":"PAUSED"`) }, 422},
		"missing":             {func(a *api) response { return a.create("?dry_run=true", connOne, `"notes":"x"`) }, 422},
		"no flag":             {func(a *api) response { return a.patch(userOne, "?dry_run=perhaps", connOne, name) }, 422},
		"another partner's":   {func(a *api) response { return a.patch(userOther, "?dry_run=true", connOther, name) }, 404},
		"their connection":    {func(a *api) response { return a.create("?dry_run=true", connOther, name) }, 404},
		"paused":              {func(a *api) response { return a.patch(userPaused, "?dry_run=true", connPaused, name) }, 409},
		"shared for reading":  {func(a *api) response { return a.patch(userReadOnly, "?dry_run=true", connReadOnly, name) }, 403},
		"no adapter":          {func(a *api) response { return a.patch(userNoAdapter, "?dry_run=true", connNoAdapter, name) }, 501},
		"no creator":          {func(a *api) response { return a.create("?dry_run=true", connTwo, name) }, 501},
		"nothing to update":   {func(a *api) response { return a.patch(userOne, "?dry_run=true", connOne, `"x":1`) }, 400},
		"provider may not now": {func(a *api) response {
			a.memory.fault = &operation.Error{Code: operation.CodeRateLimited, RetryAfter: time.Second}
			return a.patch(userOne, "?dry_run=true", connOne, name)
		}, 429},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			got := row.send(api)
			require.Equal(t, row.status, got.status, got.text)
			require.NotContains(t, got.body, "dry_run")
			require.Empty(t, api.memory.all())
		})
	}
	got := newAPI(t, Config{}).patch(userOne, "?dry_run=true&is_sync=true", connOne, name)
	fault := got.body["detail"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"query.dry_run", "conflict"}, []any{fault["path"], fault["error_type"]})
}

// A dry run calls the provider for what it must read, so it costs of the rate. It
// leaves nothing outstanding, and a key has nothing to stand for.
func TestDryRun_RateAndKey(t *testing.T) {
	t.Parallel()
	api := newLimitedAPI(t, Config{}, admission.Config{PerSecond: .001, Burst: 3, Outstanding: 1})
	require.Equal(t, 202, api.patch(userOne, "", connOne, `"notes":"x"`).status)
	keyed := api.send(request{
		method: http.MethodPatch, path: usersPath + userOne.String() + "?dry_run=true", header: http.Header{"Idempotency-Key": {"k"}},
		body: `{"connection_id":"` + connOne.String() + `","notes":"x"}`,
	})
	require.Equal(t, 200, keyed.status, keyed.text)
	require.Empty(t, keyed.header.Get("Idempotency-Replayed"))
	require.NotEmpty(t, keyed.header.Get("RateLimit"))
	require.Equal(t, 200, api.patch(userOne, "?dry_run=true", connOne, `"notes":"x"`).status)
	require.Equal(t, 429, api.patch(userOne, "?dry_run=true", connOne, `"notes":"x"`).status)
	require.Len(t, api.memory.all(), 1)
}
