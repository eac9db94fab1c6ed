package convoy_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/convoy"
)

// road keeps the groups that travelled. Each takes as long as take says.
type road struct {
	mu     sync.Mutex
	groups [][]int
	take   time.Duration
}

func (r *road) travel(group []int) {
	time.Sleep(r.take)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups = append(r.groups, append([]int{}, group...))
}

func newConvoy(r *road) *convoy.Convoy[int] {
	return &convoy.Convoy[int]{Travel: r.travel, Room: 4, Slow: time.Hour, Most: 2}
}

func TestConvoy_AloneLeavesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &road{take: time.Second}
		c := newConvoy(r)
		began := time.Now()
		for i := range 3 {
			require.NoError(t, c.Do(t.Context(), i))
		}
		require.Equal(t, 3*time.Second, time.Since(began))
		require.Equal(t, [][]int{{0}, {1}, {2}}, r.groups)
	})
}

func TestConvoy_ThoseWhoWaitLeaveTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &road{take: time.Second}
		c := newConvoy(r)
		var wg sync.WaitGroup
		for i := range 7 {
			wg.Go(func() { require.NoError(t, c.Do(t.Context(), i)) })
			synctest.Wait() // in this order
		}
		wg.Wait()
		require.Equal(t, [][]int{{0}, {1, 2, 3, 4}, {5, 6}}, r.groups)
		require.NoError(t, c.Do(t.Context(), 7), "and it goes on")
	})
}

func TestConvoy_FitBoundsAGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &road{take: time.Second}
		c := newConvoy(r)
		c.Fit = func(waiting []int) int { return len(waiting) - 1 } // none of one, which leaves all the same
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() { require.NoError(t, c.Do(t.Context(), i)) })
			synctest.Wait()
		}
		wg.Wait()
		require.Equal(t, [][]int{{0}, {1, 2, 3}, {4}}, r.groups)
	})
}

func TestConvoy_ASlowOneHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &road{take: time.Minute}
		c := newConvoy(r)
		c.Slow = time.Second
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() { require.NoError(t, c.Do(t.Context(), i)) })
			time.Sleep(2 * time.Second)
		}
		wg.Wait()
		require.Equal(t, [][]int{{0}, {1}, {2}}, r.groups)
		require.Equal(t, 2*time.Minute, time.Since(began).Truncate(time.Second), "two at a time, and the third after the first")
	})
}

func TestConvoy_OneThatIsNotSlowHoldsTheNextBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &road{take: time.Minute}
		c := newConvoy(r)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() { require.NoError(t, c.Do(t.Context(), i)) })
			time.Sleep(2 * time.Second)
		}
		wg.Wait()
		require.Equal(t, [][]int{{0}, {1, 2}}, r.groups)
	})
}

// Whoever leaves the queue does not travel, and is told of; whoever has left it does; and if
// it was to drive, the others do not wait for it for ever.
func TestConvoy_CallersWhoGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &road{take: time.Second}
		c := newConvoy(r)
		var stayed []int
		c.Stayed = func(call int) { stayed = append(stayed, call) }
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, c.Do(t.Context(), 0)) })
		synctest.Wait()
		wg.Go(func() { require.ErrorIs(t, c.Do(ctx, 1), gone) })
		synctest.Wait()
		wg.Go(func() { require.NoError(t, c.Do(t.Context(), 2)) })
		synctest.Wait()
		cancel(gone)
		wg.Wait()
		require.Equal(t, [][]int{{0}, {2}}, r.groups)
		require.Equal(t, []int{1}, stayed)
	})
}

// The driver may go in the moment in which it gets the group: that travels all the same.
func TestConvoy_TheDriverGoesAsItGetsTheGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &road{take: time.Second}
		c := newConvoy(r)
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		c.Stayed = func(call int) { t.Errorf("%d was on board", call) }
		c.Fit = func(waiting []int) int {
			if waiting[0] == 1 {
				cancel(gone) // it is on board by then
			}
			return len(waiting)
		}
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, c.Do(t.Context(), 0)) })
		synctest.Wait()
		wg.Go(func() { require.ErrorIs(t, c.Do(ctx, 1), gone) })
		synctest.Wait()
		wg.Go(func() { require.NoError(t, c.Do(t.Context(), 2)) })
		wg.Wait()
		require.Equal(t, [][]int{{0}, {1, 2}}, r.groups)
		require.NoError(t, c.Do(t.Context(), 3), "and it goes on")
	})
}

func TestConvoy_AllWhoWaitGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &road{take: time.Second}
		c := newConvoy(r)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, c.Do(t.Context(), 0)) })
		synctest.Wait()
		for i := range 2 {
			wg.Go(func() { require.ErrorIs(t, c.Do(ctx, 1+i), context.Canceled) })
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		require.NoError(t, c.Do(t.Context(), 3))
		require.Equal(t, [][]int{{0}, {3}}, r.groups, "nothing travels for nobody")
	})
}

func TestConvoy_ManyAtOnce(t *testing.T) {
	t.Parallel()
	const callers, each = 64, 200
	var travelled, stayed, under, arrived atomic.Int64
	c := &convoy.Convoy[int]{Room: 8, Slow: 50 * time.Microsecond, Most: 3, Stayed: func(int) { stayed.Add(1) }, Travel: func(group []int) {
		if under.Add(1) > 3 {
			t.Error("more under way than there may be")
		}
		time.Sleep(20 * time.Microsecond)
		travelled.Add(int64(len(group)))
		under.Add(-1)
	}}
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for k := range each {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+k)%7 == 0 {
					time.AfterFunc(time.Duration(k)*time.Microsecond, cancel)
				}
				if c.Do(ctx, k) == nil {
					arrived.Add(1)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	require.GreaterOrEqual(t, travelled.Load(), arrived.Load())
	require.Positive(t, arrived.Load())
	require.Eventually(t, func() bool { return travelled.Load()+stayed.Load() == callers*each }, time.Minute, time.Millisecond,
		"those who went are under way still, or never will be")
	require.NoError(t, c.Do(t.Context(), 0), "nobody is left to drive for")
}

// When all groups take long, the next one waits for longer, and more leave with it; one that
// hangs does not make that last.
func TestConvoy_WhenAllAreSlowMoreLeaveTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &road{take: 10 * time.Millisecond}
		c := newConvoy(r)
		c.Slow, c.Room = time.Millisecond, 100
		three := func() [][]int {
			r.groups = nil
			var wg sync.WaitGroup
			for i := range 3 {
				wg.Go(func() { require.NoError(t, c.Do(t.Context(), i)) })
				time.Sleep(2 * time.Millisecond)
			}
			wg.Wait()
			return r.groups
		}
		require.Len(t, three(), 3, "nothing is known yet")
		for range 20 {
			require.NoError(t, c.Do(t.Context(), 0))
		}
		require.Equal(t, [][]int{{0}, {1, 2}}, three())
		r.take = time.Hour
		require.NoError(t, c.Do(t.Context(), 0))
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, c.Do(t.Context(), 0)) })
		time.Sleep(101 * time.Millisecond)
		synctest.Wait()
		r.take = 10 * time.Millisecond
		began := time.Now()
		require.NoError(t, c.Do(t.Context(), 1))
		require.Equal(t, 10*time.Millisecond, time.Since(began), "nobody waits for one that hangs")
		wg.Wait()
	})
}
