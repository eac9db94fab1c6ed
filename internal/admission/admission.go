// Package admission says how much one partner may write: requests per second, and
// operations that have not ended. It keeps a partner that floods the API from
// taking the room of the others.
//
// The rate is counted in this process; each api process has its own. How much is
// outstanding is asked of the store, every ten seconds, or twice a second from half of
// the bound on, so the bound may be passed by what other processes accept meanwhile. It refuses nothing because the store does
// not answer, and knows no HTTP.
package admission

import (
	"container/list"
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"writeback/pkg/operation"
)

// depths counts a partner's operations that have not ended.
type depths interface {
	Outstanding(ctx context.Context, partner uuid.UUID) (int, error)
}

// Config of a Gate. Every zero field takes the default given with it.
type Config struct {
	// PerSecond is the rate of a partner's writes in this process. Default 200.
	PerSecond float64
	// Burst is how many may come at once. Default 400.
	Burst int
	// Outstanding is how many operations of a partner may be outstanding. Default
	// 200,000.
	Outstanding int
	// Partners bounds how many partners are remembered; the one seen longest ago is
	// forgotten first. Default 10,000.
	Partners int
	// Now tells the time. Nil: time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.PerSecond <= 0 {
		c.PerSecond = 200
	}
	if c.Burst <= 0 {
		c.Burst = 400
	}
	if c.Outstanding <= 0 {
		c.Outstanding = 200_000
	}
	if c.Partners <= 0 {
		c.Partners = 10_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

const (
	// idle is after how long an unused partner is forgotten, if its budget is full
	// again by then.
	idle = time.Minute
	// fresh is how old a sample of what is outstanding may be; calm how old while less than
	// half of the bound is. A sample of a partner with many connections costs.
	fresh = 500 * time.Millisecond
	calm  = 10 * time.Second
	// sampleFor bounds one sample.
	sampleFor = 400 * time.Millisecond
	// roomAgain is when it is worth asking again after too much was outstanding.
	roomAgain = 5 * time.Second
)

// Gate holds the partners' budgets. Safe for concurrent use.
type Gate struct {
	depths depths
	cfg    Config
	idle   time.Duration

	mu       sync.Mutex
	partners map[uuid.UUID]*list.Element // of *partner
	// seen has the partners, the one seen last in front.
	seen *list.List

	samples singleflight.Group
}

// partner is what is remembered of one; the Gate's lock guards all but limiter.
type partner struct {
	id      uuid.UUID
	limiter *rate.Limiter
	at      time.Time
	// outstanding is the last sample, and what this process has let in since.
	outstanding int
	sampled     time.Time
}

// New makes a gate.
func New(d depths, cfg Config) *Gate {
	cfg = cfg.withDefaults()
	refill := time.Duration(float64(cfg.Burst) / cfg.PerSecond * float64(time.Second))
	return &Gate{
		depths: d, cfg: cfg, idle: max(idle, refill),
		partners: make(map[uuid.UUID]*list.Element), seen: list.New(),
	}
}

// Budget is what a partner's rate leaves.
type Budget struct {
	// Quota is how many writes a full budget has, Window how long it takes to fill
	// an empty one.
	Quota  int
	Window time.Duration
	// Left is how many writes may come now, Full when the budget is full again if
	// none come.
	Left int
	Full time.Duration
}

// Take takes one write from the partner's rate. The budget is what is left. The
// error is an *operation.Error: rate_limited.
func (g *Gate) Take(id uuid.UUID) (Budget, error) {
	now := g.cfg.Now()
	limiter := g.limiter(id, now)
	allowed := limiter.AllowN(now, 1)
	b, tokens := g.budget(limiter, now)
	if allowed {
		return b, nil
	}
	return b, g.tooFast(1 - tokens)
}

// tooFast says that the partner has to wait for so many more tokens.
func (g *Gate) tooFast(tokens float64) error {
	return &operation.Error{
		Code: operation.CodeRateLimited, RetryAfter: g.fill(tokens),
		Message: fmt.Sprintf("more than %g writes per second, or %d at once", g.cfg.PerSecond, g.cfg.Burst),
	}
}

// TakeMore takes the rest of a request that brings several writes, of which Take has
// taken the first: all, or nothing if they do not fit. More than half a budget needs half
// a budget, and leaves a debt that is paid off before anything else is taken: beside single
// writes the budget is hardly ever full. The error is that of Take.
func (g *Gate) TakeMore(id uuid.UUID, more int) (Budget, error) {
	now := g.cfg.Now()
	limiter := g.limiter(id, now)
	need := min(more, max(g.cfg.Burst/2-1, 0))
	allowed := limiter.AllowN(now, need)
	for debt := more - need; allowed && debt > 0; debt -= g.cfg.Burst {
		limiter.ReserveN(now, min(debt, g.cfg.Burst))
	}
	b, tokens := g.budget(limiter, now)
	if allowed {
		return b, nil
	}
	// It comes again with its first.
	return b, g.tooFast(float64(need+1) - tokens)
}

func (g *Gate) limiter(id uuid.UUID, now time.Time) *rate.Limiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.of(id, now).limiter
}

// budget is what a rate leaves; there are less than no tokens while there is a debt.
func (g *Gate) budget(limiter *rate.Limiter, now time.Time) (b Budget, tokens float64) {
	tokens = limiter.TokensAt(now)
	return Budget{
		Quota: g.cfg.Burst, Window: g.fill(float64(g.cfg.Burst)),
		Left: int(max(tokens, 0)), Full: g.fill(float64(g.cfg.Burst) - tokens),
	}, tokens
}

// fill is how long it takes until there are so many more tokens.
func (g *Gate) fill(tokens float64) time.Duration {
	return time.Duration(math.Ceil(max(tokens, 0) / g.cfg.PerSecond * float64(time.Second)))
}

// Room lets n more operations of the partner in, or none if too many would be
// outstanding. The error is an *operation.Error: rate_limited.
func (g *Gate) Room(ctx context.Context, id uuid.UUID, n int) error {
	if g.stale(id) {
		// One sample serves all who wait for it, and is nobody's to break off.
		_, _, _ = g.samples.Do(id.String(), func() (any, error) {
			if g.stale(id) {
				g.sample(context.WithoutCancel(ctx), id)
			}
			return nil, nil
		})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.of(id, g.cfg.Now())
	if p.outstanding+n > g.cfg.Outstanding {
		return &operation.Error{
			Code: operation.CodeRateLimited, RetryAfter: roomAgain,
			Message: fmt.Sprintf("at most %d of your operations may be outstanding, which have not ended; no more are accepted until some have", g.cfg.Outstanding),
		}
	}
	p.outstanding += n
	return nil
}

func (g *Gate) stale(id uuid.UUID) bool {
	now := g.cfg.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.of(id, now)
	if p.outstanding < g.cfg.Outstanding/2 {
		return now.Sub(p.sampled) >= calm
	}
	return now.Sub(p.sampled) >= fresh
}

// sample asks the store. Without an answer what was known before holds: a store
// that is away refuses the write itself.
func (g *Gate) sample(ctx context.Context, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(ctx, sampleFor)
	defer cancel()
	n, err := g.depths.Outstanding(ctx, id)
	now := g.cfg.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.of(id, now)
	p.sampled = now
	if err == nil {
		p.outstanding = n
	}
}

// of finds a partner or makes a new one, and forgets others; the lock is held.
func (g *Gate) of(id uuid.UUID, now time.Time) *partner {
	e, ok := g.partners[id]
	if !ok {
		e = g.seen.PushFront(&partner{id: id, limiter: rate.NewLimiter(rate.Limit(g.cfg.PerSecond), g.cfg.Burst)})
		g.partners[id] = e
	}
	g.seen.MoveToFront(e)
	p := of(e)
	p.at = now
	for last := g.seen.Back(); last != e; last = g.seen.Back() {
		old := of(last)
		if len(g.partners) <= g.cfg.Partners && now.Sub(old.at) < g.idle {
			break
		}
		g.seen.Remove(last)
		delete(g.partners, old.id)
	}
	return p
}

func of(e *list.Element) *partner {
	p, _ := e.Value.(*partner)
	return p
}
