package httpapi

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

func (a *api) post(connection, op uuid.UUID, verb string, header http.Header) response {
	a.t.Helper()
	return a.send(request{
		method: http.MethodPost, header: header,
		path: connectionsPath + connection.String() + "/resource-operations/" + op.String() + "/" + verb,
	})
}

func TestCancel_Pending(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	op := api.seedAs(partnerOne, connOne, operation.Pending)
	got := api.post(connOne, op, "cancel", nil)
	require.Equal(t, 200, got.status, got.text)
	require.Equal(t, "failed", got.body["status"])
	require.Equal(t, op.String(), got.body["id"])
	require.Contains(t, got.body, "fleet_ref", "the read view")
	require.NotContains(t, got.body, "cancel_requested")
	require.Len(t, got.body["logs"], 1)

	again := api.post(connOne, op, "cancel", nil)
	require.Equal(t, 409, again.status, again.text)
	require.Contains(t, again.body["detail"], "failed")
}

// TestCancel_IsNoDryRun: a cancel that was to be tried only would be one.
func TestCancel_IsNoDryRun(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	op := api.seedAs(partnerOne, connOne, operation.Pending)
	for _, mode := range []string{"dry_run", "is_sync"} {
		got := api.post(connOne, op, "cancel?"+mode+"=true", nil)
		require.Equal(t, 422, got.status, got.text)
		require.Contains(t, got.text, `"path":"query.`+mode+`"`)
		require.Equal(t, operation.Pending, api.memory.all()[0].Status)
	}
	require.Equal(t, 200, api.post(connOne, op, "cancel?dry_run=false", nil).status)
}

func TestCancel_DuringACall(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	op := api.seedAs(partnerOne, connOne, operation.Pending)
	api.memory.calling = op
	for range 2 {
		got := api.post(connOne, op, "cancel", nil)
		require.Equal(t, 200, got.status, got.text)
		require.Equal(t, "pending", got.body["status"])
		require.Equal(t, true, got.body["cancel_requested"])
		require.Equal(t, "1", got.header.Get("Retry-After"))
	}
}

func TestControl_WrongState(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for _, row := range []struct {
		verb   string
		status operation.Status
	}{
		{"cancel", operation.Succeeded}, {"cancel", operation.Failed},
		{"retry", operation.Pending}, {"retry", operation.Succeeded},
	} {
		op := api.seedAs(partnerOne, connOne, row.status)
		before := api.memory.all()
		got := api.post(connOne, op, row.verb, nil)
		require.Equal(t, 409, got.status, got.text)
		require.Contains(t, got.body["detail"], string(row.status), "the refusal names the status")
		require.Equal(t, before, api.memory.all())
	}
	bad := api.send(request{method: http.MethodPost, path: connectionsPath + "x/resource-operations/y/cancel"})
	require.Equal(t, 422, bad.status)
	require.Len(t, bad.body["detail"], 2)
	wrong := api.send(request{path: connectionsPath + connOne.String() + "/resource-operations/" + uuid.NewString() + "/retry"})
	require.Equal(t, 405, wrong.status)
	require.Equal(t, "POST", wrong.header.Get("Allow"))
}

func TestRetry_AcceptsTheChangesAnew(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{false, true} {
		api := newAPI(t, Config{})
		failed := api.seedAs(partnerOne, connOne, operation.Failed)
		api.memory.set(func(op *operation.Operation) { op.Sync = sync })
		got := api.post(connOne, failed, "retry", nil)
		require.Equal(t, 202, got.status, got.text)
		require.Equal(t, "pending", got.body["status"])
		require.NotEqual(t, failed.String(), got.body["id"])
		require.Equal(t, map[string]any{"first_name": "Ada"}, got.body["payload"])
		require.Contains(t, got.header.Get("Location"), got.body["id"])
		require.Equal(t, "1", got.header.Get("Retry-After"))

		op := api.memory.all()[1]
		require.Equal(t, failed, *op.RetryOf)
		require.Equal(t, userOne, op.ResourceID)
		require.Equal(t, sourceOf(userOne), op.SourceID, "as the directory knows the user now")
		require.False(t, op.Sync, "a retry is queued")
		require.Equal(t, 5, op.MaxAttempts)
		read := api.get(got.header.Get("Location"))
		require.Equal(t, failed.String(), read.body["retry_of"])

		second := api.post(connOne, failed, "retry", nil)
		require.Equal(t, 202, second.status)
		require.NotEqual(t, got.body["id"], second.body["id"], "without a key each is its own")
	}
}

// TestRetry_IsNoDryRun: a dry run that is not one writes.
func TestRetry_IsNoDryRun(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	failed := api.seedAs(partnerOne, connOne, operation.Failed)
	path := connectionsPath + connOne.String() + "/resource-operations/" + failed.String() + "/retry"
	for _, mode := range []string{"dry_run", "is_sync"} {
		got := api.send(request{method: http.MethodPost, path: path + "?" + mode + "=true"})
		require.Equal(t, 422, got.status, got.text)
		require.Contains(t, got.text, `{"path":"query.`+mode+`","input":"true","message":"is not possible in a retry","error_type":"extra_forbidden"}`)
		require.Len(t, api.memory.all(), 1)
	}
	bad := api.send(request{method: http.MethodPost, path: connectionsPath + "x/resource-operations/y/retry?dry_run=true"})
	require.Equal(t, 422, bad.status)
	require.Len(t, bad.body["detail"], 3, "all at once")
	require.Equal(t, 202, api.send(request{method: http.MethodPost, path: path + "?dry_run=false"}).status)
}

// A retried create knows the first of its kind, however often it is retried.
func TestRetry_ACreateKnowsTheFirst(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	first := api.seedAs(partnerOne, connOne, operation.Failed)
	api.memory.set(func(op *operation.Operation) { op.Type, op.ResourceID, op.SourceID = operation.Create, uuid.Nil, "" })
	got := api.post(connOne, first, "retry", nil)
	require.Equal(t, 202, got.status, got.text)
	require.Equal(t, "create", got.body["operation_type"])
	require.Nil(t, got.body["resource_id"])
	second := api.memory.all()[1]
	require.Equal(t, first, *second.RetryOf)
	require.Equal(t, first, *second.Origin)

	api.memory.set(func(op *operation.Operation) { op.Status = operation.Failed })
	require.Equal(t, 202, api.post(connOne, second.ID, "retry", nil).status)
	third := api.memory.all()[2]
	require.Equal(t, second.ID, *third.RetryOf)
	require.Equal(t, first, *third.Origin)
	require.Equal(t, first, third.Reference())
}

func TestRetry_IdempotencyKey(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	failed, other := api.seedAs(partnerOne, connOne, operation.Failed), api.seedAs(partnerOne, connOne, operation.Failed)
	key := http.Header{"Idempotency-Key": {"k"}}
	one, again := api.post(connOne, failed, "retry", key), api.post(connOne, failed, "retry", key)
	require.Equal(t, 202, again.status, again.text)
	require.Equal(t, one.body["id"], again.body["id"])
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.NotEqual(t, one.body["id"], api.post(connOne, other, "retry", key).body["id"], "another path")
	require.NotEqual(t, one.body["id"], api.keyed("", "k").body["id"], "another method")
}

// A retry is a write: what refuses a write refuses it.
func TestRetry_ChecksWhatAWriteChecks(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name             string
		connection, user uuid.UUID
		change           func(op *operation.Operation)
		status           int
	}{
		{"user gone", connOne, uuid.New(), nil, 404},
		{"connection deleted", connDeleted, userDeleted, nil, 404},
		{"connection paused", connPaused, userPaused, nil, 409},
		{"share level read", connReadOnly, userReadOnly, nil, 403},
		{"no adapter", connNoAdapter, userNoAdapter, nil, 501},
		{"a create where none can be made", connTwo, userTwo, func(op *operation.Operation) { op.Type = operation.Create }, 501},
		{"no user", connOne, userOne, func(op *operation.Operation) { op.Resource = "vehicle" }, 501},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			failed := api.seedAs(partnerOne, row.connection, operation.Failed)
			api.memory.set(func(op *operation.Operation) {
				op.ResourceID = row.user
				if row.change != nil {
					row.change(op)
				}
			})
			got := api.post(row.connection, failed, "retry", nil)
			require.Equal(t, row.status, got.status, got.text)
			require.Len(t, api.memory.all(), 1)
		})
	}
}
