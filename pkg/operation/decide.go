package operation

import (
	"fmt"
	"time"
)

// Verdict is what an attempt's outcome means for its operation.
type Verdict uint8

// The verdicts.
const (
	// Succeed ends the operation as success.
	Succeed Verdict = iota
	// Again makes the operation ready after Decision.Delay.
	Again
	// Renew makes the operation ready at once, after the credential is refreshed.
	Renew
	// Fail ends the operation as failed.
	Fail
)

// Decision is the verdict with what goes with it.
type Decision struct {
	Verdict Verdict
	// Delay until the next attempt, for Again.
	Delay time.Duration
	// Block is how long the whole connection waits because the provider asked.
	Block time.Duration
	// Network says that the provider was not reached, which feeds the breaker.
	Network bool
	// GaveUp says in words why a retryable failure is not retried. Empty: it is,
	// or it was not retryable.
	GaveUp string
}

// Situation is what is known about the operation when an attempt ends.
type Situation struct {
	// Number of this attempt, from 1.
	Number int
	// MaxAttempts bounds the attempts. Zero: DefaultMaxAttempts.
	MaxAttempts int
	// Left is the time until the operation's deadline.
	Left time.Duration
	// Refreshed says that this attempt already used a freshly renewed credential.
	Refreshed bool
	// Sync operations are attempted once.
	Sync bool
}

// Decide is the table of outcomes: the only place where a retry, a delay or an
// end is decided. A nil failure is a success.
func Decide(f *Failure, s Situation, b Backoff) Decision {
	if s.MaxAttempts <= 0 {
		s.MaxAttempts = DefaultMaxAttempts
	}
	d := Decision{}
	if f != nil {
		d.Block = f.RetryAfter
		d.Network = f.Type == ErrorNetwork
	}
	switch {
	case f == nil:
		d.Verdict = Succeed
	case s.Sync:
		d.Verdict = Fail
	case f.Refresh && !s.Refreshed && s.Number < s.MaxAttempts:
		d.Verdict = Renew
	case !f.Retryable:
		d.Verdict = Fail
	case s.Number >= s.MaxAttempts:
		d.Verdict = Fail
		d.GaveUp = fmt.Sprintf("gave up after attempt %d of %d", s.Number, s.MaxAttempts)
	default:
		d.Verdict = Again
		d.Delay = max(b.Delay(s.Number), f.RetryAfter)
		if d.Delay >= s.Left {
			d.Verdict, d.Delay = Fail, 0
			d.GaveUp = "gave up: the next attempt would come after the operation's deadline"
		}
	}
	return d
}
