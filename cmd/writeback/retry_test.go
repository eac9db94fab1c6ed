package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/devissuer"
	"writeback/internal/grant"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// fleet is a registry file with connections as they are or have become, one user each.
func (d *desk) fleet() {
	d.t.Helper()
	connection := func(n int, more, user string) string {
		return fmt.Sprintf("{id: 00000000-0000-7000-8000-0000000000c%d, provider: samsara, credentials: {access_token: x}, %s users: [%s]}", n, more, user)
	}
	user := func(n int) string {
		return fmt.Sprintf("{id: 00000000-0000-7000-8000-0000000000a%d, source_id: '%d'}", n, n)
	}
	text := fmt.Sprintf("partners: [{id: %s, name: P, connections: [%s, %s, %s, %s]}]", d.op.PartnerID,
		connection(1, "limits: {max_attempts: 3},", user(1)+", "+user(5)), connection(2, "share: read,", user(2)),
		connection(3, "status: paused,", user(3)), connection(4, "", ""))
	file := filepath.Join(d.t.TempDir(), "registry.yaml")
	require.NoError(d.t, os.WriteFile(file, []byte(text), 0o600))
	d.ctl(0, "connection", "import", file)
}

// accept takes in an operation of a connection and a user of the fleet.
func (d *desk) accept(connection, user int, kind operation.Type) operation.Accepted {
	d.t.Helper()
	a := d.op
	a.ID, a.Type = uuid.Must(uuid.NewV7()), kind
	a.ConnectionID = uuid.MustParse(fmt.Sprintf("00000000-0000-7000-8000-0000000000c%d", connection))
	a.ResourceID = uuid.MustParse(fmt.Sprintf("00000000-0000-7000-8000-0000000000a%d", user))
	_, err := d.store.Accept(d.t.Context(), a, redisstore.Limits{InFlight: 4, Call: time.Second, Life: time.Hour})
	require.NoError(d.t, err)
	return a
}

// TestRetry_ByTheRulesOfTheAPI: at the store nobody else looks at them.
func TestRetry_ByTheRulesOfTheAPI(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fleet()
	for name, tt := range map[string]struct {
		connection, user int
		kind             operation.Type
		pending          bool
		says             string
	}{
		"as it was":           {1, 1, operation.Update, false, ""},
		"not ended":           {1, 5, operation.Update, true, "the operation is pending; only a failed one can be retried"},
		"shared for reading":  {2, 2, operation.Update, false, "shares this connection for reading only"},
		"not active":          {3, 3, operation.Update, false, "the connection is paused, not active"},
		"of another now":      {4, 1, operation.Update, false, "not in the directory any more"},
		"of nobody":           {1, 9, operation.Update, false, "not in the directory any more"},
		"another kind of ask": {1, 1, operation.Create, false, "only updates of users can be retried here"},
	} {
		a := d.accept(tt.connection, tt.user, tt.kind)
		args := []string{"operation", "retry", a.ConnectionID.String(), a.ID.String()}
		if !tt.pending {
			d.ctl(0, "operation", "cancel", a.ConnectionID.String(), a.ID.String())
		}
		before, sent := d.outstanding(a.ConnectionID), d.count("OPERATIONS")
		if tt.says != "" {
			_, errOut := d.ctl(1, args...)
			require.Contains(t, errOut, tt.says, name)
			require.Equal(t, before, d.outstanding(a.ConnectionID), name)
			continue
		}
		v := asJSON[operationView](d, args...)
		require.Equal(t, a.ID, *v.RetryOf)
		require.Equal(t, before+1, d.outstanding(a.ConnectionID))
		require.Equal(t, sent+1, d.count("OPERATIONS"))
		again, err := d.store.Get(t.Context(), a.ConnectionID, v.ID)
		require.NoError(t, err)
		require.Equal(t, a.Changes, again.Changes)
		require.Equal(t, 3, again.MaxAttempts)
		require.Equal(t, "1", again.SourceID, "as the directory has it now")
	}
}

func (d *desk) outstanding(connection uuid.UUID) int {
	d.t.Helper()
	l, err := d.store.Lane(d.t.Context(), connection)
	require.NoError(d.t, err)
	return l.Outstanding
}

// TestList_GoesBackAsFarAsItMust: what is looked for may be behind all that is read at once.
func TestList_GoesBackAsFarAsItMust(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.ctl(0, "operation", "cancel", d.conn.String(), d.op.ID.String())
	newest := []uuid.UUID{}
	for range listPage + 5 {
		a := d.op
		a.ID = uuid.Must(uuid.NewV7())
		_, err := d.store.Accept(t.Context(), a, redisstore.Limits{InFlight: 4, Call: time.Second, Life: time.Hour})
		require.NoError(t, err)
		newest = append(newest, a.ID)
	}
	list := func(more ...string) (ids []uuid.UUID) {
		for _, v := range asJSON[[]operationView](d, append([]string{"operation", "list", "--partner", d.op.PartnerID.String(), "--timeout", "20s"}, more...)...) {
			ids = append(ids, v.ID)
		}
		return ids
	}
	require.Equal(t, []uuid.UUID{d.op.ID}, list("--status", "failed"))
	require.Equal(t, newest[len(newest)-3:], list("--limit", "3"), "the newest, and of them the newest last")
	require.Equal(t, slices.Concat([]uuid.UUID{d.op.ID}, newest), list("--limit", "1000"))
}

// TestList_ReadsEveryPageOfTheAPI, which has the oldest first.
func TestList_ReadsEveryPageOfTheAPI(t *testing.T) {
	t.Parallel()
	ops := make([]wire.ResourceOperationRead, 3)
	for i := range ops {
		ops[i] = wire.ResourceOperationRead{ID: uuid.Must(uuid.NewV7()), Status: operation.Pending}
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, next := wire.Page[wire.ResourceOperationRead]{Items: ops[:2]}, "more"
		if r.URL.Query().Get("cursor") == next {
			page.Items = ops[2:]
		} else {
			page.NextPage = &next
		}
		_ = json.NewEncoder(w).Encode(page)
	}))
	t.Cleanup(api.Close)
	d := &desk{t: t, environ: []string{"WRITEBACK_API_URL=" + api.URL, "WRITEBACK_TOKEN=x"}}
	for limit, want := range map[string][]wire.ResourceOperationRead{"10": ops, "2": ops[1:], "1": ops[2:]} {
		got := asJSON[[]operationView](d, "operation", "list", "--limit", limit)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, want[i].ID, got[i].ID)
		}
	}
}

// TestAPI_RenewsItsToken: a load test outlasts one.
func TestAPI_RenewsItsToken(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(nil)
	issuer, err := devissuer.New(devissuer.Config{IssuerURL: "http://" + s.Listener.Addr().String() + devissuer.Realm})
	require.NoError(t, err)
	s.Config.Handler = issuer
	s.Start()
	t.Cleanup(s.Close)
	a := &partnerAPI{
		client: s.Client(), grant: grant.Client{Endpoint: s.URL + devTokenPath, ID: devClient, Secret: devSecret},
		token: "old", until: time.Now().Add(-time.Millisecond),
	}
	fresh, err := a.bearer(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, "old", fresh)
	same, err := a.bearer(t.Context())
	require.NoError(t, err)
	require.Equal(t, fresh, same, "and it is good for a while")
	given := &partnerAPI{token: "given"}
	same, err = given.bearer(t.Context())
	require.NoError(t, err)
	require.Equal(t, "given", same)
}

// TestLoadtest_OfAnAPIThatTakesNothing is no success.
func TestLoadtest_OfAnAPIThatTakesNothing(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = fmt.Fprintf(w, `{"items":[{"id":%q}]}`, uuid.NewString())
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprint(w, `{"message":"Service Unavailable","detail":"later"}`)
	}))
	t.Cleanup(api.Close)
	d := &desk{t: t, environ: []string{"WRITEBACK_API_URL=" + api.URL, "WRITEBACK_TOKEN=x"}}
	out, errOut := d.ctl(1, "loadtest", "--rate", "100", "--count", "2", "--json")
	var v loadView
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, map[string]int{"the API answered 503: later": 2}, v.Refused)
	require.Contains(t, errOut, "0 operations were accepted")

	keyset := filepath.Join(t.TempDir(), "keyset.json")
	d.ctl(0, "keyset", "create", keyset)
	d.environ = append(d.environ, "WRITEBACK_ENV=production", "WRITEBACK_KEYSET_FILE="+keyset)
	_, errOut = d.ctl(2, "loadtest", "--count", "1")
	require.Contains(t, errOut, "WRITEBACK_ENV is production; add --yes-really")
}
