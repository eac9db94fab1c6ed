package auth

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

// keySet keeps the issuer's keys. Readers take the current snapshot without a
// lock; one goroutine replaces it. The well-known key set libraries either do not
// limit refreshes for unknown keys or make callers queue for them; here a caller
// above the limit is answered at once.
type keySet struct {
	source  *source
	log     *slog.Logger
	current atomic.Pointer[snapshot]

	interval, timeout, wait time.Duration
	limit                   *rate.Limiter

	asked  chan struct{}
	cancel context.CancelFunc
	done   chan struct{}

	mu sync.Mutex
	// pending is closed when the refresh asked for or under way ends; nil if none.
	pending chan struct{}
}

func startKeySet(ctx context.Context, cfg Config) *keySet {
	ctx, cancel := context.WithCancel(ctx)
	s := &keySet{
		source:   newSource(cfg),
		log:      cfg.Logger,
		interval: cfg.RefreshInterval,
		timeout:  cfg.FetchTimeout,
		wait:     cfg.KeyWait,
		limit:    rate.NewLimiter(rate.Every(cfg.RefreshGap), 1),
		asked:    make(chan struct{}, 1),
		cancel:   cancel,
		done:     make(chan struct{}),
		pending:  make(chan struct{}),
	}
	go s.run(ctx)
	return s
}

func (s *keySet) close() {
	s.cancel()
	<-s.done
}

func (s *keySet) version() uint64 {
	if snap := s.current.Load(); snap != nil {
		return snap.version
	}
	return 0
}

// lookup gives the keys for the token's kid and algorithm, after one refresh if
// the kid is unknown and the limit allows it.
func (s *keySet) lookup(ctx context.Context, t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, refuse("critical header not understood")
	}
	kid, _ := t.Header["kid"].(string)
	keys, known := s.current.Load().find(kid, t.Method.Alg())
	if !known {
		s.refresh(ctx)
		keys, _ = s.current.Load().find(kid, t.Method.Alg())
	}
	switch {
	case len(keys) > 0:
		return jwt.VerificationKeySet{Keys: keys}, nil
	case s.current.Load() == nil:
		return nil, &ruleError{ErrUnavailable, "no key seen yet"}
	}
	return nil, refuse("unknown key")
}

// refresh waits for the refresh under way, or for a new one if the limit allows
// it. It gives up after the wait, when ctx ends and when the key set is closed.
func (s *keySet) refresh(ctx context.Context) {
	pending := s.ask()
	if pending == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	select {
	case <-pending:
	case <-ctx.Done():
	case <-s.done:
	}
}

func (s *keySet) ask() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending != nil {
		return s.pending
	}
	if !s.limit.Allow() {
		return nil
	}
	s.pending = make(chan struct{})
	s.asked <- struct{}{} // Never blocks: pending admits one question at a time.
	return s.pending
}

func (s *keySet) run(ctx context.Context) {
	defer close(s.done)
	defer s.source.close()
	retry := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(30*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			s.begin()
		case <-s.asked:
		}
		next := s.interval
		if err := s.update(ctx); err != nil {
			next = min(retry.NextBackOff(), s.interval)
			if ctx.Err() == nil {
				s.log.WarnContext(ctx, "issuer keys not refreshed", "error", err, "retry_in", next.String())
			}
		} else {
			retry.Reset()
		}
		s.finish()
		timer.Reset(next)
	}
}

// begin marks a refresh as under way, so that callers wait for it instead of
// asking for another. A question asked at the same moment is answered by it too.
func (s *keySet) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.asked:
	default:
	}
	if s.pending == nil {
		s.pending = make(chan struct{})
	}
}

func (s *keySet) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.pending)
	s.pending = nil
}

func (s *keySet) update(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	keys, err := s.source.fetch(ctx)
	if err != nil {
		return err
	}
	next, changed := s.current.Load().succeed(keys)
	s.current.Store(next)
	if changed {
		s.log.InfoContext(ctx, "issuer keys changed", "keys", len(keys))
	}
	return nil
}
