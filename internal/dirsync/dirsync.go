// Package dirsync keeps the directory's users as the providers have them: it lists
// the users of each active connection page by page, now and then and when asked.
//
// A walk is one connection's list from its first page to its last. What it has done
// is kept after each page, so that another worker goes on where one was killed; a
// lease keeps to one worker for each connection. Only a walk that saw every page
// says who is gone, and nobody is lost: a user who is listed again is back.
//
// It never calls faster than a connection may be called, never retries a refusal,
// and names no user in logs, metrics or errors.
package dirsync

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/internal/directory"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// simulator makes its users up as they are written: there is nothing to list.
const simulator = "catena_simulator"

// Listable gives the provider as one whose users can be listed, if it is.
func Listable(name string, p tsp.Provider) (tsp.Lister, bool) {
	if name == simulator {
		return nil, false
	}
	l, ok := p.(tsp.Lister)
	return l, ok
}

// users is the directory as a walk needs it.
type users interface {
	ConnectionIDs() []uuid.UUID
	ConnectionByID(id uuid.UUID) (directory.Connection, bool)
	Credentials(ctx context.Context, connection uuid.UUID, stale tsp.Credentials, r tsp.Refresher) (tsp.Credentials, error)
	Named(connection uuid.UUID, users []tsp.ListedUser) []tsp.ListedUser
	Learn(ctx context.Context, connection uuid.UUID, users []tsp.ListedUser) (directory.Count, error)
	Retire(ctx context.Context, connection uuid.UUID, since time.Time, listed func(context.Context, []string) ([]bool, error)) (int, error)
}

// rates says when a connection may be called, for syncs and writes alike.
type rates interface {
	Block(ctx context.Context, connection uuid.UUID, wait time.Duration) error
	Spend(ctx context.Context, connection uuid.UUID, l redisstore.Limits) (time.Duration, error)
}

// providers finds an adapter.
type providers interface {
	Get(name string) (tsp.Provider, bool)
}

// Parts are what a syncer works on.
type Parts struct {
	Directory users
	Providers providers
	Rates     rates
	// Redis remembers who was seen on the pages of a walk.
	Redis redis.Cmdable
	Book  *Book
	// Log gets what is done. Nil: nothing is logged.
	Log *slog.Logger
}

// Config of a Syncer. Every zero field takes the default given with it, except
// Every.
type Config struct {
	// Every is the time from the start of a walk to the start of the next. Zero:
	// only what is asked for.
	Every time.Duration
	// Walks is how many connections this process lists at once. Default 4.
	Walks int
	// Poll is how often the process looks for connections that are due. Default 5 s.
	Poll time.Duration
	// Lease is how long a page may take before another worker takes the walk over.
	// Default 2 min; it must exceed a page's call and the writes that follow it.
	Lease time.Duration
	// Inline is the longest wait within a walk; for a longer one the walk is put
	// down and taken up again by whoever is free then. Default 5 s.
	Inline time.Duration
	// Settle is how long before its walk a user must have been there for its absence
	// to mean that it is gone: providers list new users late. Default 1 min.
	Settle time.Duration
	// MaxAge is the age at which an unfinished walk is begun anew: its cursor is no
	// longer good. Default 12 h.
	MaxAge time.Duration
	// MaxUsers is more users than any connection has: a longer list is given up, since each
	// user takes memory in every process. Default 500,000.
	MaxUsers int
	// Backoff between tries after a failure. Default: from 1 min to 1 h.
	Backoff operation.Backoff
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if c.Walks <= 0 {
		c.Walks = 4
	}
	if c.MaxUsers <= 0 {
		c.MaxUsers = 500_000
	}
	set(&c.Poll, 5*time.Second)
	set(&c.Lease, 2*time.Minute)
	set(&c.Inline, 5*time.Second)
	set(&c.Settle, time.Minute)
	set(&c.MaxAge, 12*time.Hour)
	set(&c.Backoff.Base, time.Minute)
	set(&c.Backoff.Cap, time.Hour)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Syncer walks. One for each process.
type Syncer struct {
	parts   Parts
	cfg     Config
	owner   uuid.UUID
	seen    seen
	metrics meters
	log     *slog.Logger
}

// New makes a syncer; nothing happens until Run.
func New(parts Parts, cfg Config) *Syncer {
	s := &Syncer{parts: parts, cfg: cfg.withDefaults(), owner: uuid.New(), seen: seen{parts.Redis}, metrics: newMetrics(), log: parts.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Run walks what is due until ctx ends, and then puts the walks down. It gives nil:
// whatever goes wrong is tried again.
func (s *Syncer) Run(ctx context.Context) error {
	q := queue{free: s.cfg.Walks, running: make(map[uuid.UUID]bool), done: make(chan ended)}
	tick := time.NewTicker(s.cfg.Poll)
	defer tick.Stop()
	s.look(ctx, &q)
	for {
		select {
		case <-ctx.Done():
			for range len(q.running) {
				<-q.done
			}
			return nil
		case e := <-q.done:
			delete(q.running, e.id)
			q.free++
			if e.failed {
				q.due = nil // so would the others
			}
			s.begin(ctx, &q)
		case <-tick.C:
			s.look(ctx, &q)
		}
	}
}

// queue is what this process walks.
type queue struct {
	free    int
	running map[uuid.UUID]bool
	done    chan ended
	// due are those that were due at the last look, and have not been begun here.
	due []uuid.UUID
}

// ended is a walk that ended, or failed to begin.
type ended struct {
	id     uuid.UUID
	failed bool
}

// look finds what is due, and begins.
func (s *Syncer) look(ctx context.Context, q *queue) {
	due, err := s.due(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "looking for directory syncs", "error", err)
		}
		return
	}
	q.due = due
	s.begin(ctx, q)
}

// begin starts walks that are due, those first that have waited longest. Another worker
// may have begun them since: then the claim says so, and the next one has its turn.
func (s *Syncer) begin(ctx context.Context, q *queue) {
	for q.free > 0 && len(q.due) > 0 {
		id := q.due[0]
		q.due = q.due[1:]
		c, ok := s.parts.Directory.ConnectionByID(id)
		if !ok || q.running[id] {
			continue
		}
		q.free--
		q.running[id] = true
		go func() {
			e := ended{id: id, failed: true}
			defer func() { q.done <- e }()
			e.failed = !s.walk(ctx, c)
		}()
	}
}
