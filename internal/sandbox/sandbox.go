// Package sandbox stands in for the telematics providers: an HTTP handler that
// speaks the wire contracts of Samsara, Motive, Geotab and the providers of parts.go
// below /samsara, /motive, /geotab and so on, so that Writeback can be tried and tested without them.
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

// Providers that have an adapter in Writeback. The simulator has no wire.
const (
	Samsara   = "samsara"
	Motive    = "motive"
	Geotab    = "geotab"
	Simulator = "catena_simulator"
)

// Defaults of Config.
const (
	DefaultUsers            = 100
	DefaultMaxRequests      = 200_000
	DefaultMaxRequestBytes  = 256 << 20
	DefaultGeotabAuthPerMin = 10
	DefaultGeotabSession    = 14 * 24 * time.Hour
	DefaultSamsaraToken     = time.Hour
	DefaultMotiveToken      = 2 * time.Hour

	maxBody = 4 << 20
)

// Config of a Sandbox. The zero value is usable.
type Config struct {
	// UsersPerConnection is the number of users of every connection. Those from
	// 100 on have no dev id. Below 100: DefaultUsers.
	UsersPerConnection int
	// Extra connections, besides Seeds(). Their credentials must be unique.
	Extra []Seed
	// MaxRequests bounds the request log; the oldest go first. Zero:
	// DefaultMaxRequests.
	MaxRequests int
	// MaxRequestBytes bounds the bodies in the request log. Zero:
	// DefaultMaxRequestBytes.
	MaxRequestBytes int64
	// SamsaraOAuth gives the seeded Samsara connections OAuth credentials, as
	// OAuthSeeds has them, instead of API tokens that do not end.
	SamsaraOAuth bool
	// SamsaraTokenLife is how long an access token that can be refreshed lives. Zero:
	// DefaultSamsaraToken.
	SamsaraTokenLife time.Duration
	// MotiveOAuth gives the seeded Motive connection OAuth credentials, as OAuthSeeds
	// has them, instead of a token that does not end.
	MotiveOAuth bool
	// MotiveTokenLife is how long an access token that can be refreshed lives. Zero:
	// DefaultMotiveToken.
	MotiveTokenLife time.Duration
	// GeotabAuthPerMinute is the login limit of a user and database. Zero:
	// DefaultGeotabAuthPerMin; negative: not limited.
	GeotabAuthPerMinute int
	// GeotabCallsPerMinute limits each other method and entity of a user and
	// database. Zero: announced in the headers, not enforced.
	GeotabCallsPerMinute int
	// GeotabSessionLife is how long a session lives. Zero: DefaultGeotabSession.
	GeotabSessionLife time.Duration
	// GeotabPath is the server that a login names. Empty: "ThisServer".
	GeotabPath string
	// Now is the clock of sessions, limits and time stamps. Nil: time.Now.
	Now func() time.Time
}

// Sandbox is the stand-in. Safe for concurrent use.
type Sandbox struct {
	cfg      Config
	accounts []*account
	wires    map[string]wire
	geotab   *geotab
	samsara  *samsara
	motive   *motive
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
		closing: make(chan struct{}),
	}
	for _, seed := range append(seeds(cfg.UsersPerConnection, cfg.SamsaraOAuth, cfg.MotiveOAuth), cfg.Extra...) {
		if a := newAccount(seed, cfg.Now()); a != nil {
			s.accounts = append(s.accounts, a)
		}
	}
	s.geotab = newGeotab(s.accounts, cfg)
	s.samsara = newSamsara(s.accounts, cfg.SamsaraTokenLife, cfg.Now)
	s.motive = newMotive(s.accounts, cfg.MotiveTokenLife, cfg.Now)
	s.wires = map[string]wire{
		Samsara: s.samsara,
		Motive:  s.motive,
		Geotab:  s.geotab,
	}
	for _, p := range parts() {
		s.wires[p.name] = p.make(s.accounts, cfg)
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
	if c.GeotabAuthPerMinute == 0 {
		c.GeotabAuthPerMinute = DefaultGeotabAuthPerMin
	}
	if c.MotiveTokenLife <= 0 {
		c.MotiveTokenLife = DefaultMotiveToken
	}
	if c.GeotabSessionLife <= 0 {
		c.GeotabSessionLife = DefaultGeotabSession
	}
	if c.SamsaraTokenLife <= 0 {
		c.SamsaraTokenLife = DefaultSamsaraToken
	}
	if c.GeotabPath == "" {
		c.GeotabPath = "ThisServer"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
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
