package admission

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/pkg/operation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store counts what it is asked, and answers as it is told.
type store struct {
	mu    sync.Mutex
	n     int
	err   error
	asked int
}

func (s *store) Outstanding(ctx context.Context, _ uuid.UUID) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if _, bounded := ctx.Deadline(); !bounded {
		return 0, errors.New("whoever asks would wait for ever")
	}
	return s.n, errors.Join(s.err, ctx.Err())
}

func (s *store) set(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.err = n, err
}

// clock is a time that stands until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func gate(cfg Config) (*Gate, *store, *clock) {
	s, c := &store{}, &clock{at: time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)}
	cfg.Now = c.now
	return New(s, cfg), s, c
}

func refused(t *testing.T, err error) *operation.Error {
	t.Helper()
	var e *operation.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, operation.CodeRateLimited, e.Code)
	return e
}

func TestTake_BurstThenRate(t *testing.T) {
	t.Parallel()
	g, _, c := gate(Config{})
	me, other := uuid.New(), uuid.New()
	for i := range 400 {
		b, err := g.Take(me)
		require.NoError(t, err)
		require.InDelta(t, float64(i+1)*5, float64(b.Full)/1e6, 0.001)
		b.Full = 0
		require.Equal(t, Budget{Quota: 400, Window: 2 * time.Second, Left: 399 - i}, b)
	}
	b, err := g.Take(me)
	require.Equal(t, 5*time.Millisecond, refused(t, err).RetryAfter)
	require.Zero(t, b.Left)
	_, err = g.Take(other)
	require.NoError(t, err, "each partner has its own budget")

	c.pass(5 * time.Millisecond)
	_, err = g.Take(me)
	require.NoError(t, err)
	_, err = g.Take(me)
	refused(t, err)
	c.pass(time.Hour)
	b, err = g.Take(me)
	require.NoError(t, err)
	require.Equal(t, 399, b.Left, "no more than the burst is saved up")
}

func TestTake_RefusalsCostNothing(t *testing.T) {
	t.Parallel()
	g, _, c := gate(Config{PerSecond: 1, Burst: 1})
	me := uuid.New()
	_, err := g.Take(me)
	require.NoError(t, err)
	for range 100 {
		_, err = g.Take(me)
		refused(t, err)
	}
	c.pass(time.Second)
	_, err = g.Take(me)
	require.NoError(t, err)
}

// TestTakeMore_AllOrNothing: a request of many writes fits or is refused as a whole.
func TestTakeMore_AllOrNothing(t *testing.T) {
	t.Parallel()
	g, _, c := gate(Config{PerSecond: 10, Burst: 20})
	me := uuid.New()
	together := func(n int) (Budget, error) {
		_, err := g.Take(me)
		require.NoError(t, err)
		return g.TakeMore(me, n-1)
	}
	b, err := together(12)
	require.NoError(t, err)
	require.Equal(t, 8, b.Left)
	b, err = together(10)
	require.Equal(t, 300*time.Millisecond, refused(t, err).RetryAfter, "7 are left, and it comes again with 10")
	require.Equal(t, 7, b.Left, "the first of it is spent, the rest is not")
	c.pass(300 * time.Millisecond)
	b, err = together(10)
	require.NoError(t, err)
	require.Zero(t, b.Left)
	_, err = g.Take(me)
	refused(t, err)
}

// TestTakeMore_BesideSingleWrites: they take nearly the whole rate, and never let the budget
// become full.
func TestTakeMore_BesideSingleWrites(t *testing.T) {
	t.Parallel()
	for _, n := range []int{20, 100} {
		g, _, c := gate(Config{PerSecond: 10, Burst: 20})
		me := uuid.New()
		letIn := 0
		for range 300 { // 9 a second, by threes
			for range 3 {
				_, _ = g.Take(me)
			}
			if _, err := g.Take(me); err == nil {
				if _, err = g.TakeMore(me, n-1); err == nil {
					letIn++
				}
			}
			c.pass(time.Second / 3)
		}
		require.Positive(t, letIn, "%d at once", n)
		require.LessOrEqual(t, letIn*n, 20+100*10+n, "the rate holds")
	}
}

// TestTakeMore_MoreThanTheBurst needs half a budget and leaves a debt, so that the rate
// holds over time.
func TestTakeMore_MoreThanTheBurst(t *testing.T) {
	t.Parallel()
	for _, burst := range []int{1, 20} {
		g, _, c := gate(Config{PerSecond: 10, Burst: burst})
		me := uuid.New()
		_, err := g.Take(me)
		require.NoError(t, err)
		b, err := g.TakeMore(me, 99)
		require.NoError(t, err)
		require.Zero(t, b.Left)
		require.Equal(t, 10*time.Second, b.Full)
		for range 3 {
			_, err = g.Take(me)
			require.Equal(t, time.Duration(101-burst)*100*time.Millisecond, refused(t, err).RetryAfter)
		}
		c.pass(time.Duration(101-burst) * 100 * time.Millisecond)
		_, err = g.Take(me)
		require.NoError(t, err)
		if burst > 1 {
			_, err = g.TakeMore(me, 99)
			require.Equal(t, time.Second, refused(t, err).RetryAfter, "the budget is not half full")
		}
		c.pass(time.Minute)
		_, err = g.Take(me)
		require.NoError(t, err)
		_, err = g.TakeMore(me, 99)
		require.NoError(t, err)
	}
}

func TestGate_ForgetsPartners(t *testing.T) {
	t.Parallel()
	g, _, c := gate(Config{Partners: 100, PerSecond: 1, Burst: 90})
	first := uuid.New()
	_, err := g.Take(first)
	require.NoError(t, err)
	for range 1000 {
		_, err := g.Take(uuid.New())
		require.NoError(t, err)
		require.LessOrEqual(t, len(g.partners), 100)
		require.Equal(t, len(g.partners), g.seen.Len())
	}
	b, err := g.Take(first)
	require.NoError(t, err)
	require.Equal(t, 89, b.Left, "one that was forgotten begins anew")
	c.pass(89 * time.Second)
	_, _ = g.Take(uuid.New())
	require.Len(t, g.partners, 100, "a budget that is not full yet is not forgotten")
	c.pass(time.Second)
	_, _ = g.Take(first)
	require.Len(t, g.partners, 2)
}

// A partner who comes every few seconds stays known, however soon its budget is full again:
// with it goes what is known to be outstanding.
func TestGate_KnowsAPartnerForAWhile(t *testing.T) {
	t.Parallel()
	g, s, c := gate(Config{})
	me := uuid.New()
	for range 3 {
		require.NoError(t, g.Room(t.Context(), me, 1))
		c.pass(3 * time.Second)
		_, err := g.Take(uuid.New())
		require.NoError(t, err)
	}
	require.Equal(t, 1, s.asked)
}

// Who writes all the time is not forgotten for others that come and go.
func TestGate_ForgetsTheOneSeenLongestAgo(t *testing.T) {
	t.Parallel()
	g, _, _ := gate(Config{Partners: 2, PerSecond: 1, Burst: 90})
	me := uuid.New()
	for n := range 10 {
		b, err := g.Take(me)
		require.NoError(t, err)
		require.Equal(t, 89-n, b.Left)
		_, err = g.Take(uuid.New())
		require.NoError(t, err)
	}
}

func TestGate_Concurrent(t *testing.T) {
	t.Parallel()
	g, s, _ := gate(Config{Burst: 50, Outstanding: 50})
	me := uuid.New()
	var mu sync.Mutex
	took, let := 0, 0
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			_, err := g.Take(me)
			room := g.Room(context.Background(), me, 1)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				took++
			}
			if room == nil {
				let++
			}
		})
	}
	all.Wait()
	require.Equal(t, 50, took)
	require.Equal(t, 50, let)
	require.Equal(t, 1, s.asked)
}
