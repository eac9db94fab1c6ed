package webhook

import (
	"fmt"
	"math/rand/v2"
	"time"

	"writeback/pkg/operation"
)

// shortDelays and longDelays are the waits between sends, without jitter. They are
// published in docs/webhooks.md.
var (
	shortDelays = []time.Duration{700 * time.Millisecond, 1400 * time.Millisecond, 2800 * time.Millisecond}
	longDelays  = []time.Duration{
		30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour,
	}
)

// jitter is by how much a delay may be longer or shorter.
const jitter = 0.2

// Delays are the waits between the sends of a delivery: one more send than delays.
// Each is drawn up to a fifth longer or shorter.
func Delays(s Schedule) []time.Duration {
	if s == Long {
		return append([]time.Duration(nil), longDelays...)
	}
	return append([]time.Duration(nil), shortDelays...)
}

// verdict is what an answer means: for the delivery, for the endpoint's health, and
// for the subscription.
type verdict struct {
	operation.Decision
	failure *operation.Failure
	// message says that the breaker counts a message: as delivered if failure is
	// nil, as failed otherwise.
	message bool
	// silent says that the breaker counts a send without an answer.
	silent bool
	// gone says that the endpoint wants nothing any more.
	gone bool
}

// decide is the table of outcomes, one line each. number is the attempt's, from 1;
// left is the time until the delivery's deadline.
func decide(a answer, number int, s Schedule, left time.Duration) verdict {
	v := verdict{failure: failureOf(a), silent: a.silent() && s == Short}
	if a.code == 429 || a.code >= 500 {
		v.Block = a.retryAfter
	}
	delays := Delays(s)
	// On the long schedule an endpoint counts as failing when the short one would
	// have ended, not hours later, and by each message once.
	v.message = number == len(shortDelays)+1
	counted := s == Long && number > len(shortDelays)+1
	switch {
	case v.failure == nil:
		v.Verdict, v.message = operation.Succeed, true
	case !v.failure.Retryable:
		v.Verdict, v.message, v.gone = operation.Fail, !counted, a.code == 410
	case number > len(delays):
		v.Verdict, v.message = operation.Fail, !counted
		v.GaveUp = fmt.Sprintf("gave up after send %d of %d", number, len(delays)+1)
	default:
		v.Verdict = operation.Again
		// What it asked for holds its lane and not the delivery: another URL did not ask.
		v.Delay = spread(delays[number-1])
		if max(v.Delay, v.Block) >= left {
			v.Verdict, v.Delay, v.message = operation.Fail, 0, !counted
			v.GaveUp = "gave up: the next send would come after the delivery's deadline"
		}
	}
	return v
}

func spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 - jitter + 2*jitter*rand.Float64()))
}

// failureOf classifies an answer. Only what is of type validation was refused for
// good; everything else becomes a dead letter when it is given up.
func failureOf(a answer) *operation.Failure {
	f := &operation.Failure{StatusCode: a.code, RetryAfter: a.retryAfter, Type: operation.ErrorValidation}
	switch {
	case a.code >= 200 && a.code < 300:
		return nil
	case a.code == 0:
		f.Type, f.Retryable, f.Detail = operation.ErrorNetwork, true, a.problem
	case a.code >= 500:
		f.Type, f.Retryable, f.Detail = operation.ErrorTSP, true, fmt.Sprintf("the endpoint answered %d", a.code)
	case a.code == 429 && a.asked:
		// It asked to be called again, whatever it said of when: that is no refusal.
		f.Type, f.Retryable, f.Detail = operation.ErrorTSP, true, "the endpoint answered 429"
	case a.code >= 300 && a.code < 400:
		f.Detail = fmt.Sprintf("the endpoint answered %d; redirects are not followed", a.code)
	default:
		f.Detail = fmt.Sprintf("the endpoint answered %d, which is not tried again", a.code)
	}
	return f
}
