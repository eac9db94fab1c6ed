package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

const (
	// DefaultCostly is how many costly requests of one partner are worked on at a time.
	DefaultCostly = 4
	// costlyWait is how long one more waits for its turn.
	costlyWait = 5 * time.Second
)

// shares hold each partner to so many requests at a time of those that cost the stores
// thousands of commands each: lists, which may walk over all that a partner has, and
// replays. Writes are bounded by their number, which says nothing about these.
type shares struct {
	size int
	mu   sync.Mutex
	of   map[uuid.UUID]*share
}

// share is one partner's. who counts those that are in it or wait for it.
type share struct {
	room chan struct{}
	who  int
}

// costly lets a request through when its partner has room for it.
func (s *server) costly(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), costlyWait)
		leave, err := s.shares.enter(ctx, principalOf(ctx).PartnerID)
		cancel()
		if err != nil {
			return err
		}
		defer leave()
		return next(w, r)
	}
}

// enter waits for room until ctx ends. The error is an *operation.Error: rate_limited.
func (s *shares) enter(ctx context.Context, partner uuid.UUID) (leave func(), err error) {
	s.mu.Lock()
	one := s.of[partner]
	if one == nil {
		one = &share{room: make(chan struct{}, s.size)}
		s.of[partner] = one
	}
	one.who++
	s.mu.Unlock()
	select {
	case one.room <- struct{}{}:
		return func() { <-one.room; s.left(partner, one) }, nil
	case <-ctx.Done():
		s.left(partner, one)
		return nil, &operation.Error{
			Code: operation.CodeRateLimited, RetryAfter: time.Second,
			Message: "too many of your lists and replays are under way at once",
		}
	}
}

// left forgets a share that nobody is in.
func (s *shares) left(partner uuid.UUID, one *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.who--; one.who == 0 {
		delete(s.of, partner)
	}
}
