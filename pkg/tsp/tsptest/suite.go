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

// Run checks an adapter: what it makes of each outcome of a call, and that each
// field is written, refused or left alone exactly as its table says.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if s.Written == nil {
		s.Written = topLevelKeys
	}
	if s.Unchanged == nil {
		s.Unchanged = func(operation.Field, operation.Value) bool { return false }
	}
	if s.Secrets == nil {
		for _, v := range s.Connection.Credentials {
			s.Secrets = append(s.Secrets, v)
		}
	}
	t.Run("outcomes", func(t *testing.T) { t.Parallel(); s.outcomes(t) })
	t.Run("fields", func(t *testing.T) { t.Parallel(); s.fields(t) })
}

// maxBody is the cap of the suite's client: small, so that a row can pass it.
const maxBody = 64 << 10

// bench is one adapter in front of one scripted provider.
type bench struct {
	provider tsp.Provider
	mu       sync.Mutex
	calls    []Call
}

// fault answers a call instead of the healthy provider; false: it has not.
type fault func(w http.ResponseWriter, r *http.Request, step int) bool

func (s Suite) bench(t *testing.T, f fault) *bench {
	t.Helper()
	b := &bench{}
	healthy := s.Healthy()
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
		b.mu.Unlock()
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
