package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is an order to answer calls badly, the body of POST /_control/faults. It
// hits writes; Reads and Logins extend it. Of several that match, the oldest is
// used until its count is used up.
type Fault struct {
	// Provider whose calls are hit. Required.
	Provider string `json:"provider"`
	// Connection limits it to one connection id.
	Connection string `json:"connection,omitempty"`
	// User limits it to one user, by the provider's id or the dev id.
	User string `json:"user,omitempty"`
	// Status is answered instead of the provider's. Zero with a body: 200; zero with
	// only retry_after: 429.
	Status int `json:"status,omitempty"`
	// Body is sent as it is: a JSON string by its content, else the JSON itself.
	// Absent: the provider's usual body for the status.
	Body json.RawMessage `json:"body,omitempty"`
	// RetryAfter is sent as the header, as it is.
	RetryAfter string `json:"retry_after,omitempty"`
	// LatencyMS delays the call. Alone, the call is then carried out as usual.
	LatencyMS int `json:"latency_ms,omitempty"`
	// Hang never answers, until the client leaves or the sandbox closes.
	Hang bool `json:"hang,omitempty"`
	// Reset resets the TCP connection.
	Reset bool `json:"reset,omitempty"`
	// Count is how many calls are hit. Zero: all, until the fault is deleted.
	Count int `json:"count,omitempty"`
	// Reads extends it to read calls.
	Reads bool `json:"reads,omitempty"`
	// Logins extends it to Geotab's Authenticate and the token endpoints of the others.
	Logins bool `json:"logins,omitempty"`
	// Apply carries the call out first: the write happens, its answer is lost.
	Apply bool `json:"apply,omitempty"`
	// GeotabError names an exception, which is answered in an envelope with 200.
	GeotabError string `json:"geotab_error,omitempty"`
}

// validate gives an error that names the wrong field.
func (s *Sandbox) validate(f Fault) error {
	names := wireNames(s.cfg.Parts)
	var exceptions []string
	if w, ok := s.wires[f.Provider].(Excepter); ok {
		exceptions = w.Exceptions()
	}
	switch {
	case !slices.Contains(names, f.Provider):
		return fmt.Errorf("provider: must be one of %v", names)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("status: must be 200 to 599")
	case f.LatencyMS < 0:
		return errors.New("latency_ms: must not be negative")
	case f.Count < 0:
		return errors.New("count: must not be negative")
	case f.Hang && f.Reset:
		return errors.New("hang: cannot go with reset")
	case f.GeotabError != "" && exceptions == nil:
		return errors.New("geotab_error: only for geotab")
	case f.GeotabError != "" && !slices.Contains(exceptions, f.GeotabError):
		return fmt.Errorf("geotab_error: must be one of %v", exceptions)
	case f.GeotabError != "" && (f.Status != 0 || f.Body != nil):
		return errors.New("geotab_error: cannot go with status or body")
	case !f.replaces() && f.LatencyMS == 0:
		return errors.New("status: the fault would do nothing; give status, body, retry_after, latency_ms, hang, reset or geotab_error")
	}
	return nil
}

// replaces reports whether the answer is another one than the provider's.
func (f Fault) replaces() bool {
	return f.Status != 0 || f.Body != nil || f.RetryAfter != "" || f.Hang || f.Reset || f.GeotabError != ""
}

func (f Fault) matches(x *Exchange) bool {
	switch {
	case f.Provider != x.provider,
		x.Class == ClassNone,
		x.Class == ClassRead && !f.Reads,
		x.Class == ClassLogin && !f.Logins,
		f.Connection != "" && (x.Account == nil || x.Account.Connection != f.Connection):
		return false
	case f.User == "" || f.User == x.UserRef:
		return true
	}
	return x.User != nil && (f.User == x.User.SourceID || f.User == x.User.catenaID)
}

// active is a fault with what is left of its count.
type active struct {
	ID    int   `json:"id"`
	Used  int   `json:"used"`
	Fault Fault `json:"fault"`
}

// faultList holds the ordered faults. Without any, take costs one atomic load.
type faultList struct {
	some atomic.Bool

	mu     sync.Mutex
	list   []active
	lastID int
}

func newFaultList() *faultList { return &faultList{} }

func (l *faultList) add(f Fault) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastID++
	l.list = append(l.list, active{ID: l.lastID, Fault: f})
	l.some.Store(true)
	return l.lastID
}

func (l *faultList) all() []active {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]active{}, l.list...)
}

func (l *faultList) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = nil
	l.some.Store(false)
}

// take gives the fault that hits the call, and uses one of its count.
func (l *faultList) take(x *Exchange) (Fault, bool) {
	if !l.some.Load() {
		return Fault{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.list {
		f := l.list[i].Fault
		if !f.matches(x) {
			continue
		}
		l.list[i].Used++
		if l.list[i].Used == f.Count {
			l.list = slices.Delete(l.list, i, i+1)
			l.some.Store(len(l.list) > 0)
		}
		return f, true
	}
	return Fault{}, false
}

// faulty answers a call that a fault hits.
func (s *Sandbox) faulty(x *Exchange, wire Wire, act Action, f Fault) Answer {
	ctx := x.Request.Context()
	if f.LatencyMS > 0 && !s.hold(ctx, time.Duration(f.LatencyMS)*time.Millisecond) {
		return Answer{}
	}
	if !f.replaces() {
		return act()
	}
	if f.Apply {
		act()
	}
	switch {
	case f.Hang:
		s.hold(ctx, -1)
		return Answer{}
	case f.Reset:
		return Answer{reset: true}
	}
	return f.answer(x, wire)
}

func (f Fault) answer(x *Exchange, wire Wire) Answer {
	status := f.Status
	switch {
	case status != 0:
	case f.Body != nil, f.GeotabError != "":
		status = http.StatusOK
	default:
		status = http.StatusTooManyRequests
	}
	var a Answer
	switch {
	case f.GeotabError != "":
		a = wire.(Excepter).Exception(f.GeotabError) // validate saw that it is one
	case f.Body != nil:
		a = f.rawBody(status)
	default:
		a = wire.Refusal(x, status)
	}
	if f.RetryAfter != "" {
		a = a.With("Retry-After", f.RetryAfter)
	}
	return a
}

func (f Fault) rawBody(status int) Answer {
	body := []byte(f.Body)
	var s string
	if json.Unmarshal(f.Body, &s) == nil {
		body = []byte(s)
	}
	kind := "text/plain; charset=utf-8"
	if json.Valid(body) {
		kind = "application/json"
	}
	return Answer{Status: status, Body: body, Header: map[string]string{"Content-Type": kind}}
}
