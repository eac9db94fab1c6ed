package operation

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Defaults of the retry policy.
const (
	DefaultMaxAttempts = 12
	DefaultDeadline    = 24 * time.Hour
	// MaxDeadline bounds the life of an operation: its accepted message must outlive
	// it in the operation stream, from which a lost record is put back.
	MaxDeadline = 44 * time.Hour
	DefaultBase = 2 * time.Second
	DefaultCap  = 4 * time.Hour
)

// growth is the factor between the ceilings of two delays. With the defaults the
// eleven delays of twelve attempts have the ceilings 2 s, 8 s, 32 s, 2 min, 9 min,
// 34 min, 2.3 h and four times 4 h: 9.5 h on average and 19 h at most, so that an
// outage of hours ends no operation, and the attempt limit comes before the deadline.
const growth = 4

// Backoff is exponential backoff with full jitter: the delay before attempt n+1
// is uniform in (0, min(Cap, Base·4^(n-1))], so that a crowd of failures spreads
// out. The zero value uses the defaults. Safe for concurrent use.
type Backoff struct {
	// Base is the longest delay after the first failure. Zero: DefaultBase.
	Base time.Duration
	// Cap bounds every delay. Zero: DefaultCap.
	Cap time.Duration
}

// steps bring any base to any cap; later attempts draw from the cap as well.
const steps = 32

// Delay draws the wait after the n-th failed attempt, n from 1. It is never
// shorter than a millisecond, the resolution of the schedule.
func (b Backoff) Delay(n int) time.Duration {
	base, ceiling := b.Base, b.Cap
	if base <= 0 {
		base = DefaultBase
	}
	if ceiling <= 0 {
		ceiling = DefaultCap
	}
	base = min(base, ceiling)
	// backoff/v4 draws uniformly from interval·(1±factor); with half the ceiling
	// as the interval and factor 1 that is full jitter over (0, ceiling].
	policy := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(base/2),
		backoff.WithMaxInterval(ceiling/2),
		backoff.WithMultiplier(growth),
		backoff.WithRandomizationFactor(1),
		backoff.WithMaxElapsedTime(0),
	)
	var d time.Duration
	for range min(max(n, 1), steps) {
		d = policy.NextBackOff()
	}
	return max(d, time.Millisecond)
}
