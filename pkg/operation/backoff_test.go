package operation_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/pkg/operation"
)

// ceiling is min(limit, base·4^(n-1)), the longest delay after the n-th failure.
func ceiling(base, limit time.Duration, n int) time.Duration {
	c := base
	for i := 1; i < n && c < limit; i++ {
		if c > math.MaxInt64/4 {
			return limit
		}
		c *= 4
	}
	return min(c, limit)
}

// TestBackoff_Bounds holds for every policy and every number: also for a cap
// below the base, and for numbers that would overflow.
func TestBackoff_Bounds(t *testing.T) {
	t.Parallel()
	durations := rapid.OneOf(
		rapid.Int64Range(int64(2*time.Millisecond), int64(time.Hour)),
		rapid.Int64Range(int64(2*time.Millisecond), math.MaxInt64),
	)
	rapid.Check(t, func(t *rapid.T) {
		b := operation.Backoff{
			Base: time.Duration(durations.Draw(t, "base")),
			Cap:  time.Duration(durations.Draw(t, "cap")),
		}
		n := rapid.OneOf(rapid.IntRange(1, 80), rapid.IntRange(1, math.MaxInt)).Draw(t, "n")
		d := b.Delay(n)
		require.GreaterOrEqual(t, d, time.Millisecond)
		require.LessOrEqual(t, d, ceiling(b.Base, b.Cap, n))
	})
}

func TestBackoff_NumberBelowOneIsTheFirst(t *testing.T) {
	t.Parallel()
	b := operation.Backoff{Base: 10 * time.Millisecond, Cap: time.Hour}
	for _, n := range []int{0, -1, math.MinInt} {
		for range 50 {
			require.LessOrEqual(t, b.Delay(n), b.Base)
		}
	}
}

func TestBackoff_NeverBelowTheScheduleResolution(t *testing.T) {
	t.Parallel()
	b := operation.Backoff{Base: 1, Cap: 1}
	require.Equal(t, time.Millisecond, b.Delay(1))
	require.Equal(t, time.Millisecond, b.Delay(40))
}

// TestBackoff_FullJitter draws so often that a true full jitter fails less than
// once in 10^15 runs: the mean of 4,000 draws has a standard deviation of 0.5 %
// of the ceiling, and a tenth of the range stays empty with probability 0.9^4000.
func TestBackoff_FullJitter(t *testing.T) {
	t.Parallel()
	const draws = 4000
	for _, tc := range []struct {
		name    string
		backoff operation.Backoff
		n       int
		ceiling time.Duration
	}{
		{"first", operation.Backoff{Base: 10 * time.Second, Cap: time.Hour}, 1, 10 * time.Second},
		{"grown", operation.Backoff{Base: 10 * time.Second, Cap: time.Hour}, 4, 640 * time.Second},
		{"capped", operation.Backoff{Base: 10 * time.Second, Cap: time.Minute}, 9, time.Minute},
		{"far beyond the cap", operation.Backoff{Base: 10 * time.Second, Cap: time.Minute}, math.MaxInt, time.Minute},
		{"zero value, first", operation.Backoff{}, 1, operation.DefaultBase},
		{"zero value, third", operation.Backoff{}, 3, 16 * operation.DefaultBase},
		{"zero value, capped", operation.Backoff{}, 40, operation.DefaultCap},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var sum float64
			var tenths [10]int
			for range draws {
				d := tc.backoff.Delay(tc.n)
				require.Positive(t, d)
				require.LessOrEqual(t, d, tc.ceiling)
				share := float64(d) / float64(tc.ceiling)
				sum += share
				tenths[min(int(share*10), 9)]++
			}
			require.InDelta(t, 0.5, sum/draws, 0.05)
			for i, n := range tenths {
				require.NotZero(t, n, "no draw in tenth %d", i)
			}
		})
	}
}
