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
	DefaultCap  = 30 * time.Minute
)

// Backoff is exponential backoff with full jitter: the delay before attempt n+1
// is uniform in (0, min(Cap, Base·2^(n-1))], so that a crowd of failures spreads
// out. The zero value uses the defaults. Safe for concurrent use.
type Backoff struct {
	// Base is the longest delay after the first failure. Zero: DefaultBase.
	Base time.Duration
	// Cap bounds every delay. Zero: DefaultCap.
	Cap time.Duration
}

// doublings bring any base to any cap; later attempts draw from the cap as well.
const doublings = 64

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
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(1),
		backoff.WithMaxElapsedTime(0),
	)
	var d time.Duration
	for range min(max(n, 1), doublings) {
		d = policy.NextBackOff()
	}
	return max(d, time.Millisecond)
}
