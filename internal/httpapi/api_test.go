package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/admission"
	"writeback/internal/directory"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

const (
	usersPath       = "/v2/telematics/users/"
	connectionsPath = "/v2/integrations/connections/"
	operationsPath  = "/v2/integrations/connections/resource-operations"
	tspsPath        = "/v2/integrations/tsps"
	webhooksPath    = "/v2/notifications/webhooks"
)

func id(n int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("00000000-0000-7000-8000-%012x", n))
}

// The test world: partnerOne has a connection of each kind with a user each, and
// partnerTwo has one of its own.
var (
	partnerOne, partnerTwo = id(0xd1), id(0xd2)
	fleetOne, fleetTwo     = id(0xf1), id(0xf2)

	connOne, connTwo, connDeleted, connPaused = id(0xc1), id(0xc2), id(0xc3), id(0xc4)
	connStale, connFailed, connCancelled      = id(0xc5), id(0xc6), id(0xc7)
	connReadOnly, connNoAdapter, connOther    = id(0xc8), id(0xca), id(0xc9)

	userOne, userOneB, userTwo              = id(0xa100), id(0xa101), id(0xa200)
	userDeleted, userPaused, userStale      = id(0xa300), id(0xa400), id(0xa500)
	userFailed, userCancelled, userReadOnly = id(0xa600), id(0xa700), id(0xa800)
	userNoAdapter, userOther                = id(0xaa00), id(0xa900)
)

var worldTime = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

func sourceOf(user uuid.UUID) string { return "src-" + user.String()[32:] }

// world is a directory that does not change.
type world struct {
	connections []directory.Connection
	users       []directory.User
	tsps        []directory.TSP
}

func newWorld() *world {
	w := &world{}
	for _, name := range []string{"motive", "samsara", "wialon"} {
		w.tsps = append(w.tsps, directory.TSP{ID: directory.TSPID(name), Slug: name, SourceName: name})
	}
	slices.SortFunc(w.tsps, func(a, b directory.TSP) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, c := range []struct {
		id, partner, fleet uuid.UUID
		ref, provider      string
		status             directory.ConnectionStatus
		share              directory.ShareLevel
		users              []uuid.UUID
	}{
		{connOne, partnerOne, fleetOne, "fleet-one", "samsara", directory.ConnectionActive, directory.ShareReadWrite, []uuid.UUID{userOne, userOneB}},
		{connTwo, partnerOne, fleetTwo, "fleet-two", "motive", directory.ConnectionActive, directory.ShareReadWrite, []uuid.UUID{userTwo}},
		{connDeleted, partnerOne, fleetOne, "fleet-one", "samsara", directory.ConnectionDeleted, directory.ShareReadWrite, []uuid.UUID{userDeleted}},
		{connPaused, partnerOne, fleetOne, "fleet-one", "samsara", directory.ConnectionPaused, directory.ShareReadWrite, []uuid.UUID{userPaused}},
		{connStale, partnerOne, fleetOne, "fleet-one", "samsara", directory.ConnectionStale, directory.ShareReadWrite, []uuid.UUID{userStale}},
		{connFailed, partnerOne, fleetOne, "fleet-one", "samsara", directory.ConnectionFailed, directory.ShareReadWrite, []uuid.UUID{userFailed}},
		{connCancelled, partnerOne, fleetOne, "fleet-one", "samsara", directory.ConnectionCancelled, directory.ShareReadWrite, []uuid.UUID{userCancelled}},
		{connReadOnly, partnerOne, fleetTwo, "fleet-two", "samsara", directory.ConnectionActive, directory.ShareRead, []uuid.UUID{userReadOnly}},
		{connOther, partnerTwo, uuid.Nil, "", "samsara", directory.ConnectionActive, directory.ShareReadWrite, []uuid.UUID{userOther}},
		{connNoAdapter, partnerOne, uuid.Nil, "", "wialon", directory.ConnectionActive, directory.ShareReadWrite, []uuid.UUID{userNoAdapter}},
	} {
		w.connections = append(w.connections, directory.Connection{
			ID: c.id, PartnerID: c.partner, FleetID: c.fleet, FleetRef: c.ref, Provider: c.provider,
			TSPID: directory.TSPID(c.provider), Status: c.status, Share: c.share,
			Credentials: tsp.Credentials{"client_id": "seen", "client_secret": "hush-hush"},
			Limits:      directory.LimitsOverride{MaxAttempts: 5}, CreatedAt: worldTime, UpdatedAt: worldTime,
		})
		for _, u := range c.users {
			w.users = append(w.users, directory.User{
				ID: u, ConnectionID: c.id, SourceID: sourceOf(u), CreatedAt: worldTime, UpdatedAt: worldTime,
				Fields: directory.Pack(operation.Changes{
					operation.FieldFirstName: operation.Text("Ada"),
					operation.FieldIsDriver:  operation.Flag(u != userOneB),
				}),
			})
		}
	}
	slices.SortFunc(w.users, func(a, b directory.User) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	slices.SortFunc(w.connections, func(a, b directory.Connection) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return w
}

func (w *world) Connection(partner, id uuid.UUID) (directory.Connection, bool) {
	for _, c := range w.connections {
		if c.ID == id && c.PartnerID == partner {
			return c, true
		}
	}
	return directory.Connection{}, false
}

func (w *world) User(partner, id uuid.UUID) (directory.User, directory.Connection, bool) {
	for _, u := range w.users {
		if c, ok := w.Connection(partner, u.ConnectionID); ok && u.ID == id {
			return u, c, true
		}
	}
	return directory.User{}, directory.Connection{}, false
}

func (w *world) Connections(partner uuid.UUID) []directory.Connection {
	return slices.DeleteFunc(slices.Clone(w.connections), func(c directory.Connection) bool { return c.PartnerID != partner })
}

func (w *world) UsersPage(partner, after uuid.UUID, limit int, f directory.UserFilter) []directory.User {
	var out []directory.User
	for _, u := range w.users {
		c, ok := w.Connection(partner, u.ConnectionID)
		if !ok || c.Status == directory.ConnectionDeleted || len(out) >= limit || bytes.Compare(u.ID[:], after[:]) <= 0 || !f.Matches(u, c) {
			continue
		}
		out = append(out, u)
	}
	return out
}

func (w *world) TSPs() []directory.TSP { return slices.Clone(w.tsps) }

// api is a server over real HTTP with what stands behind it.
type api struct {
	t      *testing.T
	url    string
	client *http.Client
	memory *memory
	hooks  *hooks
	script *script
	world  *world
	log    *lines
	limits admission.Config
}

// cursors seal with a key that the tests know, too.
var cursors = wire.NewCursors([]byte("test"))

func newAPI(t *testing.T, cfg Config) *api {
	t.Helper()
	return newLimitedAPI(t, cfg, admission.Config{})
}

func newLimitedAPI(t *testing.T, cfg Config, limits admission.Config) *api {
	t.Helper()
	a := &api{t: t, memory: &memory{}, hooks: newHooks(), script: newScript(), world: newWorld(), log: &lines{}, limits: limits}
	handler, err := New(a.deps(t), cfg)
	require.NoError(t, err)
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	a.url, a.client = srv.URL, srv.Client()
	a.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a.client.Transport.(*http.Transport).DisableCompression = true
	return a
}

func (a *api) deps(t testing.TB) Deps {
	t.Helper()
	providers, err := tsp.NewRegistry(
		creator{provider{tsp.Description{
			Name: "samsara", Limits: tsp.Limits{InFlight: 3, MaxAttempts: 9},
			Users: tsp.Table{
				{Field: operation.FieldFirstName, Target: "name", Note: "Joined with last_name."},
				{Field: operation.FieldNotes, Target: "notes", Clear: tsp.ClearEmpty},
				{Field: operation.FieldDOTID, Note: "The provider has no such field."},
			},
			Create: &tsp.CreateRules{Required: []operation.Field{operation.FieldFirstName}, Note: "Makes a driver."},
		}}},
		provider{tsp.Description{Name: "motive"}},
	)
	require.NoError(t, err)
	return Deps{
		Verifier: tokens{}, Directory: a.world, Providers: providers,
		Accepter: a.memory, Reader: a.memory,
		Webhooks: a.hooks, Records: a.hooks, Tail: a.tail(t),
		Admission: admission.New(a.memory, a.limits),
		Cursors:   cursors, Log: a.logger(),
	}
}

func (a *api) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(a.log, nil)) }

// lines keeps what was logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// token grants the scopes; without any, all of them.
func token(partner uuid.UUID, scopes ...string) string {
	if len(scopes) == 0 {
		scopes = []string{
			wire.ScopeTelematicsRead, wire.ScopeTelematicsWrite, wire.ScopeConnectionRead, wire.ScopeOperationRead,
			wire.ScopeWebhookRead, wire.ScopeWebhookCreate, wire.ScopeWebhookUpdate, wire.ScopeWebhookDelete,
		}
	}
	return partner.String() + "|" + strings.Join(scopes, " ")
}

// request is one call. Zero fields: GET, partnerOne with all scopes, JSON.
type request struct {
	method, path, body, token string
	header                    http.Header
	reader                    io.Reader
}

type response struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// send makes a call. Its answer must be as the document says.
func (a *api) send(in request) response {
	a.t.Helper()
	if in.reader == nil && in.body != "" {
		in.reader = strings.NewReader(in.body)
	}
	if in.method == "" {
		in.method = http.MethodGet
	}
	if in.token == "" {
		in.token = token(partnerOne)
	}
	req, err := http.NewRequestWithContext(a.t.Context(), in.method, a.url+in.path, in.reader)
	require.NoError(a.t, err)
	req.Header.Set("Authorization", "Bearer "+in.token)
	req.Header.Set("Content-Type", "application/json")
	for name, values := range in.header {
		if values == nil {
			req.Header.Del(name)
			continue
		}
		req.Header[name] = values
	}
	resp, err := a.client.Do(req)
	require.NoError(a.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(a.t, err)
	out := response{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if resp.Header.Get("Content-Type") == "application/json" && len(text) > 0 && text[0] == '{' {
		require.NoError(a.t, json.Unmarshal(text, &out.body), out.text)
	}
	conforms(a.t, in.method, in.path, out)
	return out
}

func (a *api) get(path string) response {
	a.t.Helper()
	return a.send(request{path: path})
}

func (a *api) patch(user uuid.UUID, query string, connection uuid.UUID, fields string) response {
	a.t.Helper()
	return a.send(request{
		method: http.MethodPatch, path: usersPath + user.String() + query,
		body: `{"connection_id":"` + connection.String() + `",` + fields + `}`,
	})
}

func (a *api) create(query string, connection uuid.UUID, fields string) response {
	a.t.Helper()
	return a.send(request{
		method: http.MethodPost, path: strings.TrimSuffix(usersPath, "/") + query,
		body: `{"connection_id":"` + connection.String() + `",` + fields + `}`,
	})
}

// ids gives the ids of a page's items.
func (r response) ids(t *testing.T) []string {
	t.Helper()
	require.Equal(t, 200, r.status, r.text)
	items, ok := r.body["items"].([]any)
	require.True(t, ok, r.text)
	out := []string{}
	for _, item := range items {
		m := item.(map[string]any)
		key := "id"
		if _, ok := m[key]; !ok {
			key = "tsp_id"
		}
		out = append(out, m[key].(string))
	}
	return out
}
