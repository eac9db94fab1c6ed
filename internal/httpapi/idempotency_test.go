package httpapi

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/admission"
	"writeback/pkg/operation"
)

func (a *api) keyed(query, key string) response {
	a.t.Helper()
	return a.send(request{
		method: http.MethodPatch, path: usersPath + userOne.String() + query,
		body:   `{"connection_id":"` + connOne.String() + `","first_name":"Ada"}`,
		header: http.Header{"Idempotency-Key": {key}},
	})
}

// set changes the stored operations.
func (m *memory) set(change func(op *operation.Operation)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.ops {
		change(&m.ops[i])
	}
}

// TestReplay_ShowsThePresentState has one row for each state in which a repeated
// request may find its operation.
func TestReplay_ShowsThePresentState(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, query  string
		now          operation.Status
		first, again int
	}{
		{"queued, pending", "", operation.Pending, 202, 202},
		{"queued, succeeded", "", operation.Succeeded, 202, 202},
		{"queued, failed", "", operation.Failed, 202, 202},
		{"sync, succeeded", "?is_sync=true", operation.Succeeded, 200, 200},
		{"sync, failed", "?is_sync=true", operation.Failed, 200, 502},
		{"sync, still being called", "?is_sync=true", operation.Pending, 200, 409},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			one := api.keyed(row.query, "k")
			require.Equal(t, row.first, one.status, one.text)
			api.memory.set(func(op *operation.Operation) { op.Status = row.now })
			again := api.keyed(row.query, "k")
			require.Equal(t, row.again, again.status, again.text)
			require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
			require.Equal(t, one.header.Get("Location"), again.header.Get("Location"))
			require.Len(t, api.memory.all(), 1)
			if row.again == 409 {
				require.Contains(t, again.body["detail"], one.body["id"])
				return
			}
			require.Equal(t, string(row.now), again.body["status"])
			require.Equal(t, one.body["id"], again.body["id"])
			require.Equal(t, row.now == operation.Pending, again.header.Get("Retry-After") != "")
		})
	}
}

// TestReplay_OfWhatWouldBeRefused: a request that was accepted and comes again when its
// connection is paused is answered by what it was accepted as; without its key, or with
// another body, by the refusal.
func TestReplay_OfWhatWouldBeRefused(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	path := usersPath + userPaused.String()
	body := `{"connection_id":"` + connPaused.String() + `","first_name":"Ada"}`
	single := `{"user_id":"` + userPaused.String() + `",` + body[1:]
	accepted := func(key *operation.Key) operation.Operation {
		op := operation.Operation{Status: operation.Pending, Accepted: operation.Accepted{
			ID: uuid.Must(uuid.NewV7()), PartnerID: partnerOne, ConnectionID: connPaused, ResourceID: userPaused, Provider: "samsara", Key: key,
			Resource: operation.ResourceUser, Type: operation.Update,
		}}
		api.memory.mu.Lock()
		defer api.memory.mu.Unlock()
		api.memory.ops = append(api.memory.ops, op)
		return op
	}
	one := accepted(&operation.Key{Scope: digest(partnerOne.String(), http.MethodPatch, path, "k"), Fingerprint: fingerprint(false, []byte(body))})
	many := accepted(&operation.Key{
		Scope: digest(partnerOne.String(), http.MethodPost, batchPath, userPaused.String(), "request", "k", "0"), Fingerprint: fingerprint(false, []byte(single)),
	})
	send := func(key, body string) response {
		return api.send(request{method: http.MethodPatch, path: path, body: body, header: http.Header{"Idempotency-Key": {key}}})
	}
	got := send("k", body)
	require.Equal(t, 202, got.status, got.text)
	require.Equal(t, one.ID.String(), got.body["id"])
	require.Equal(t, "true", got.header.Get("Idempotency-Replayed"))
	require.Equal(t, 409, send("other", body).status)
	require.Equal(t, 409, send("k", strings.Replace(body, "Ada", "Eve", 1)).status)

	answer, all := api.batch(true, http.Header{"Idempotency-Key": {"k"}}, single)
	require.Equal(t, 200, answer.status, answer.text)
	require.Equal(t, 202, all[0].Status, answer.text)
	require.Equal(t, many.ID.String(), all[0].Operation.ID)
	require.Equal(t, "true", answer.header.Get("Idempotency-Replayed"))
	answer, all = api.batch(true, http.Header{"Idempotency-Key": {"other"}}, single)
	require.Equal(t, 409, all[0].Status, answer.text)
	require.Len(t, api.memory.all(), 2)
}

// TestReplay_AtTheBoundOfOutstanding: a request that was accepted and comes again is
// nothing more that is outstanding, so the bound does not refuse it; what is new it does.
func TestReplay_AtTheBoundOfOutstanding(t *testing.T) {
	t.Parallel()
	api := newLimitedAPI(t, Config{}, admission.Config{Outstanding: 5, Now: still})
	failed := api.seedAs(partnerOne, connOne, operation.Failed)
	key := func(name string) http.Header { return http.Header{"Idempotency-Key": {name}} }
	create := func(name string) response {
		return api.send(request{
			method: http.MethodPost, path: createPath, header: key(name),
			body: `{"connection_id":"` + connOne.String() + `","first_name":"Ada"}`,
		})
	}
	elements := []string{element(userOne, connOne, `"notes":"x"`), element(userTwo, connTwo, `"notes":"y"`)}
	first := []response{api.keyed("", "k"), create("k"), api.post(connOne, failed, "retry", key("k"))}
	_, batch := api.batch(false, key("k"), elements...)
	before := api.memory.all()
	require.Len(t, before, 6, "five are outstanding")

	for i, again := range []response{api.keyed("", "k"), create("k"), api.post(connOne, failed, "retry", key("k"))} {
		require.Equal(t, 202, first[i].status, first[i].text)
		require.Equal(t, 202, again.status, again.text)
		require.Equal(t, first[i].body["id"], again.body["id"])
		require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	}
	for _, lines := range []bool{false, true} {
		got, all := api.batch(lines, key("k"), append(elements, element(userOneB, connOne, `"notes":"new"`))...)
		require.Equal(t, 200, got.status, got.text)
		require.Equal(t, "true", got.header.Get("Idempotency-Replayed"))
		for i := range batch {
			require.Equal(t, 202, all[i].Status, got.text)
			require.True(t, all[i].Replayed)
			require.Equal(t, batch[i].Operation.ID, all[i].Operation.ID)
		}
		require.Equal(t, 429, all[2].Status, got.text)
		require.Equal(t, 5, all[2].Wait)
	}

	whole, _ := api.batch(false, key("other"), elements...)
	for _, got := range []response{
		whole, api.keyed("", "other"), create("other"), api.post(connOne, failed, "retry", key("other")),
		api.patch(userOne, "", connOne, `"first_name":"Ada"`),
	} {
		require.Equal(t, 429, got.status, got.text)
		require.Empty(t, got.header.Get("Idempotency-Replayed"))
	}
	require.Equal(t, before, api.memory.all())
}

// A store that is away holds a batch up once, and not once for each of its keys.
func TestReplay_KeysOfABatchHaveOneDeadline(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	ends := make(chan time.Time, 2)
	api.memory.onRepeated = func(ctx context.Context) {
		end, _ := ctx.Deadline()
		ends <- end
	}
	refused := element(userPaused, connPaused, `"notes":"x"`)
	_, all := api.batch(true, http.Header{"Idempotency-Key": {"k"}}, refused, refused)
	require.Equal(t, 409, all[0].Status)
	require.Equal(t, 409, all[1].Status)
	first := <-ends
	require.NotZero(t, first)
	require.Equal(t, first, <-ends)
}

// TestReplay_IsTheSameMode: what a key stands for is the mode, however the query asks
// for it, and parameters that mean nothing do not count.
func TestReplay_IsTheSameMode(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for key, queries := range map[string][]string{
		"queued": {"", "?is_sync=false", "?is_sync=0", "?dry_run=false", "?is_sync=False&other=1"},
		"sync":   {"?is_sync=true", "?is_sync=1", "?is_sync=TRUE&dry_run=0"},
	} {
		first := api.keyed(queries[0], key)
		for _, query := range queries[1:] {
			again := api.keyed(query, key)
			require.Equal(t, "true", again.header.Get("Idempotency-Replayed"), "%s: %s", query, again.text)
			require.Equal(t, first.body["id"], again.body["id"], query)
		}
	}
	refused := api.keyed("?is_sync=true", `"queued"`)
	require.Equal(t, 422, refused.status)
	require.Equal(t, []any{map[string]any{
		"path": "header.Idempotency-Key", "input": "queued", "message": "was used with another body or query", "error_type": "idempotency_key_reused",
	}}, refused.body["detail"])
	require.Equal(t, 422, api.keyed("", "sync").status)
	require.Len(t, api.memory.all(), 2)
}

// TestFingerprint_IsThatOfKeysInRedis: a key is kept for a day, and outlives an upgrade.
// These are the digests of the versions that took the query as it was.
func TestFingerprint_IsThatOfKeysInRedis(t *testing.T) {
	t.Parallel()
	body := []byte(`{"a":1}`)
	require.Equal(t, digest("", string(body)), fingerprint(false, body))
	require.Equal(t, digest("is_sync=true", string(body)), fingerprint(true, body))
	require.Equal(t, "7ee388bdc4620e732b32417d65bd6b96f9dc7c44b2f0eb552714447d84645ac6", fingerprint(false, body))
}

func TestUnquoted(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"bare": "bare", `ba"re`: `ba"re`, `"quoted"`: "quoted", `"a\"b"`: `a"b`, `"a\\b"`: `a\b`,
		`"`: "", `""`: "", `"open`: "", `"a"b`: "", `"a\b"`: "", `"a\"`: "", `"a\`: "", "": "",
	} {
		require.Equal(t, want, unquoted(in), in)
	}
}

func FuzzUnquoted(f *testing.F) {
	for _, seed := range []string{"k", `"k"`, `"a\"b\\"`, `"\`, ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
		if got := unquoted(quoted); got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
		if len(unquoted(s)) > len(s) {
			t.Fatal("a key grew")
		}
	})
}
