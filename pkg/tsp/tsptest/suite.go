package tsptest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Suite describes an adapter to Run.
type Suite struct {
	// New makes the adapter, talking to the base URL.
	New func(call *httpcall.Client, baseURL string) tsp.Provider
	// Connection has planted credentials, and the settings that switch on every
	// field that the provider can hold.
	Connection tsp.Connection
	// Secrets must occur in no error text. Nil: all values of the credentials.
	Secrets []string
	// SourceID is the provider's id of the user that Healthy answers for.
	SourceID string
	// Changes are a write that the provider takes; with as many calls as a write
	// may need, since each outcome is played at each call.
	Changes operation.Changes
	// Healthy makes a provider without faults that holds the user. It is made anew
	// for each test; what it returns is called one call at a time.
	Healthy func() func(Call) Reply
	// ErrorBody makes the provider's error body around a message, for answers that
	// are not 2xx. Nil: the provider has none and the message is not looked for.
	ErrorBody func(message string) string
	// Answer makes the provider's own answer for an outcome, for example an error
	// inside a 200; false: it has none. The plain HTTP rows are run as well.
	// Nil: none.
	Answer func(Outcome) (Reply, bool)

	// Fine reports that a row of outcomes is no failure but a right answer to the
	// call, for a provider whose success says less than a user. Nil: none is.
	Fine func(c Call, row string) bool

	// Values are the values to try of a field, instead of the usual ones: at least
	// one that the provider takes, if it can hold the field.
	Values map[operation.Field][]operation.Value
	// With are changes without which a field cannot be written.
	With map[operation.Field]operation.Changes
	// Unchanged reports that the healthy user has this value already, so that
	// writing nothing is right. Nil: it never has.
	Unchanged func(operation.Field, operation.Value) bool
	// Written names the provider's fields that the calls wrote (not those written
	// back as read). Nil: the top-level keys of every JSON body that is not a GET.
	Written func(calls []Call) []string
	// Also are names that a field's write may carry beside its Rule.Target.
	Also map[operation.Field][]string
	// Writes reports that a call changes something at the provider; logins do not.
	// Nil: every call that is no GET.
	Writes func(Call) bool

	// Create, List, Read and Refresh describe what an adapter can do beyond an
	// update. Each must be set exactly for a tsp.Creator, tsp.Lister, tsp.Reader and
	// tsp.Refresher.
	Create  *Create
	List    *List
	Read    *Read
	Refresh *Refresh
}

// Call is a request as the provider got it.
type Call struct {
	Method string
	// Path is escaped and has its query.
	Path   string
	Header http.Header
	Body   []byte
}

// Reply is a provider's answer.
type Reply struct {
	// Status of the answer. Zero: 200.
	Status int
	Header map[string]string
	Body   string
}

// Run checks an adapter: what it makes of each outcome of a call, that each field
// is written, refused or left alone exactly as its table says, that a dry run
// writes nothing, and whatever else the adapter can do.
func Run(t *testing.T, s Suite) {
	t.Helper()
	s = s.withDefaults()
	t.Run("outcomes", func(t *testing.T) { t.Parallel(); s.outcomes(t, s.updating()) })
	t.Run("fields", func(t *testing.T) { t.Parallel(); s.fields(t) })
	t.Run("dry run", func(t *testing.T) { t.Parallel(); s.dryRun(t, s.updating()) })
	t.Run("budget", func(t *testing.T) { t.Parallel(); s.budget(t, s.updating()) })
	t.Run("concurrent", func(t *testing.T) { t.Parallel(); s.concurrent(t) })
	p := s.New(httpcall.New(httpcall.Config{}), "http://127.0.0.1:0")
	_, creates := p.(tsp.Creator)
	_, lists := p.(tsp.Lister)
	_, reads := p.(tsp.Reader)
	_, refreshes := p.(tsp.Refresher)
	s.optional(t, "create", creates, s.Create != nil, s.create)
	s.optional(t, "list", lists, s.List != nil, s.list)
	s.optional(t, "read", reads, s.Read != nil, s.read)
	s.optional(t, "refresh", refreshes, s.Refresh != nil, s.refresh)
	if rules := p.Describe().Create; (rules != nil) != creates {
		t.Error("Describe().Create must be given by a tsp.Creator, and by nobody else")
	}
}

// optional runs the rows of an optional interface; an adapter with it must be
// described, or its rows would be forgotten.
func (s Suite) optional(t *testing.T, name string, implemented, described bool, rows func(*testing.T)) {
	t.Helper()
	if implemented != described {
		t.Errorf("%s: implemented %t, described in the suite %t", name, implemented, described)
		return
	}
	if implemented {
		t.Run(name, func(t *testing.T) { t.Parallel(); rows(t) })
	}
}

func (s Suite) withDefaults() Suite {
	if s.Written == nil {
		s.Written = topLevelKeys
	}
	if s.Unchanged == nil {
		s.Unchanged = func(operation.Field, operation.Value) bool { return false }
	}
	if s.Writes == nil {
		s.Writes = func(c Call) bool { return c.Method != http.MethodGet }
	}
	if s.Secrets == nil {
		for _, v := range s.Connection.Credentials {
			s.Secrets = append(s.Secrets, v)
		}
	}
	return s
}

// maxBody is the cap of the suite's client: small, so that a row can pass it.
const maxBody = 64 << 10

// makeProvider makes a provider without faults, as Suite.Healthy.
type makeProvider func() func(Call) Reply

func (m makeProvider) or(other makeProvider) makeProvider {
	if m == nil {
		return other
	}
	return m
}

// bench is one adapter in front of one scripted provider.
type bench struct {
	provider tsp.Provider
	// header is added to the answers of the healthy provider.
	header map[string]string

	mu    sync.Mutex
	calls []Call
}

// fault answers a call instead of the healthy provider; false: it has not.
type fault func(w http.ResponseWriter, r *http.Request, step int) bool

func (s Suite) bench(t *testing.T, f fault) *bench {
	t.Helper()
	return s.benchOn(t, s.Healthy, f)
}

func (s Suite) benchOn(t *testing.T, made makeProvider, f fault) *bench {
	t.Helper()
	b := &bench{}
	healthy := made()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read request body: %v", err)
		}
		call := Call{Method: r.Method, Path: r.RequestURI, Header: r.Header.Clone(), Body: body}
		b.mu.Lock()
		step := len(b.calls)
		b.calls = append(b.calls, call)
		b.mu.Unlock()
		if f != nil && f(w, r, step) {
			return
		}
		b.mu.Lock()
		reply := healthy(call)
		header := b.header
		b.mu.Unlock()
		for name, value := range header {
			w.Header().Set(name, value)
		}
		reply.write(w)
	}))
	t.Cleanup(server.Close)
	// Without kept connections the transport repeats nothing by itself, so that
	// every call seen is one that the adapter made.
	transport := &http.Transport{DisableKeepAlives: true}
	b.provider = s.New(httpcall.New(httpcall.Config{MaxBody: maxBody, Transport: transport}), server.URL)
	return b
}

func (b *bench) seen() []Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// written are the calls seen that change something.
func (b *bench) written(s Suite) []Call {
	return slices.DeleteFunc(b.seen(), func(c Call) bool { return !s.Writes(c) })
}

func (b *bench) update(ctx context.Context, s Suite, changes operation.Changes) (tsp.Result, error) {
	return b.provider.UpdateUser(ctx, s.Connection, tsp.UserUpdate{SourceID: s.SourceID, Changes: changes})
}

// write adds headers that no log may show, and one that it should.
func (r Reply) write(w http.ResponseWriter) {
	w.Header().Set("Set-Cookie", "session=planted-cookie")
	w.Header().Set("X-Internal", "planted-header")
	w.Header().Set("X-Request-Id", "req-1")
	for name, value := range r.Header {
		w.Header().Set(name, value)
	}
	if r.Status != 0 {
		w.WriteHeader(r.Status)
	}
	_, _ = io.WriteString(w, r.Body)
}

func topLevelKeys(calls []Call) []string {
	var names []string
	for _, c := range calls {
		if c.Method == http.MethodGet {
			continue
		}
		var body map[string]json.RawMessage
		if json.Unmarshal(c.Body, &body) != nil {
			continue
		}
		for name := range body {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
