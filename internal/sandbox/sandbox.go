// Package sandbox stands in for the telematics providers: an HTTP handler that
// speaks the wire contracts of providers below /samsara, /motive and so on, so that
// Writeback can be tried and tested without them. Each provider is a Part, which lies
// beside its adapter; this package is what the parts share.
//
// It is strict: a wrong path, method, token, content type, key, type, enum member
// or length is answered as the provider answers it. Where a provider's behaviour
// is not published, the sandbox takes the reading that makes a careless client
// visible: what a whole replace leaves out is lost, and nested objects are
// replaced, not merged. Faults are ordered and calls read back below /_control.
//
// It refuses to be a product: state lives in memory, the control paths have no
// authentication, and all credentials and people in it are made up.
package sandbox

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Providers of the dev connections c1 to c4, which have fixed ids. The simulator has
// no wire.
const (
	Samsara   = "samsara"
	Motive    = "motive"
	Geotab    = "geotab"
	Simulator = "catena_simulator"
)

// Defaults of Config.
const (
	DefaultUsers           = 100
	DefaultMaxRequests     = 200_000
	DefaultMaxRequestBytes = 256 << 20

	maxBody = 4 << 20
)

// Config of a Sandbox. The zero value is usable.
type Config struct {
	// Parts are the providers. Nil: none.
	Parts []Part
	// UsersPerConnection is the number of users of every connection. Those from
	// 100 on have no dev id. Below 100: DefaultUsers.
	UsersPerConnection int
	// Extra connections, besides those of the parts. Their credentials must be unique.
	Extra []Seed
	// MaxRequests bounds the request log; the oldest go first. Zero:
	// DefaultMaxRequests.
	MaxRequests int
	// MaxRequestBytes bounds the bodies in the request log. Zero:
	// DefaultMaxRequestBytes.
	MaxRequestBytes int64
	// Now is the clock of sessions, limits and time stamps. Nil: time.Now.
	Now func() time.Time
}

// Sandbox is the stand-in. Safe for concurrent use.
type Sandbox struct {
	cfg      Config
	accounts []*Account
	wires    map[string]Wire
	faults   *faultList
	journal  *journal
	control  http.Handler
	calls    atomic.Uint64
	closing  chan struct{}
	close    sync.Once
}

// New makes a sandbox with the seeded users. It panics if two connections of a
// provider share a credential, which is a mistake in the program.
func New(cfg Config) *Sandbox {
	cfg = cfg.withDefaults()
	s := &Sandbox{
		cfg:     cfg,
		faults:  newFaultList(),
		journal: newJournal(cfg.MaxRequests, cfg.MaxRequestBytes, cfg.Now),
		wires:   make(map[string]Wire),
		closing: make(chan struct{}),
	}
	for _, seed := range append(seeds(cfg.Parts, cfg.UsersPerConnection), cfg.Extra...) {
		if p, ok := partOf(cfg.Parts, seed.Provider); ok && p.Make != nil {
			s.accounts = append(s.accounts, newAccount(seed, p, cfg.Now()))
		}
	}
	for _, p := range cfg.Parts {
		if p.Make != nil {
			s.wires[p.Name] = p.Make(s.accountsOf(p.Name), cfg.Now)
		}
	}
	s.control = s.controlRoutes()
	return s
}

func (c Config) withDefaults() Config {
	c.UsersPerConnection = max(c.UsersPerConnection, DefaultUsers)
	if c.MaxRequests <= 0 {
		c.MaxRequests = DefaultMaxRequests
	}
	if c.MaxRequestBytes <= 0 {
		c.MaxRequestBytes = DefaultMaxRequestBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (s *Sandbox) accountsOf(provider string) []*Account {
	var out []*Account
	for _, a := range s.accounts {
		if a.provider == provider {
			out = append(out, a)
		}
	}
	return out
}

// Handler serves the providers and the control paths.
func (s *Sandbox) Handler() http.Handler { return http.HandlerFunc(s.route) }

// Close lets go of the calls that a fault holds; their connections are dropped.
// Call it before the server's Shutdown. It may be called more than once.
func (s *Sandbox) Close() { s.close.Do(func() { close(s.closing) }) }

// route goes by the first path element itself: a ServeMux would redirect paths
// that a strict provider refuses.
func (s *Sandbox) route(w http.ResponseWriter, r *http.Request) {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if wire, ok := s.wires[first]; ok {
		s.serve(w, r, first, wire)
		return
	}
	if first != "_control" {
		refuse(w, http.StatusNotFound, "no such path; a provider is at its name, for example /samsara, control at /_control")
		return
	}
	s.control.ServeHTTP(w, r)
}

// hold waits; it gives false when the client left or the sandbox closed first. A
// negative time waits for that.
func (s *Sandbox) hold(ctx context.Context, d time.Duration) bool {
	var due <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return true
	case <-ctx.Done():
	case <-s.closing:
	}
	return false
}
