package operation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// life is how an operation fared.
type life struct {
	attempts int
	took     time.Duration
	verdict  operation.Verdict
	gaveUp   string
}

// throughOutage lives through an outage by the default policy: every call before its
// end is answered 500.
func throughOutage(outage time.Duration) life {
	const call = 300 * time.Millisecond
	var l life
	for {
		l.attempts++
		var f *operation.Failure
		if l.took < outage {
			f = &operation.Failure{Type: operation.ErrorTSP, Retryable: true, StatusCode: 500}
		}
		l.took += call
		d := operation.Decide(f, operation.Situation{
			Number: l.attempts, Left: operation.DefaultDeadline - l.took,
		}, operation.Backoff{})
		if d.Verdict != operation.Again {
			l.verdict, l.gaveUp = d.Verdict, d.GaveUp
			return l
		}
		l.took += d.Delay
	}
}

// An operation of the default policy has used up its attempts within an hour of 500s
// with a probability below 1.5 in 100,000: its last five delays, of up to 2.3 h once and
// 4 h four times, would have to come to less than an hour together. Of 5,000 that is
// none mostly, and six once in 10^10 runs.
func TestPolicy_OutlivesAnHourOf500s(t *testing.T) {
	t.Parallel()
	const all, lost = 5000, 5
	var failed int
	for range all {
		l := throughOutage(time.Hour)
		require.LessOrEqual(t, l.attempts, operation.DefaultMaxAttempts)
		require.Less(t, l.took, operation.DefaultDeadline)
		if l.verdict == operation.Fail {
			failed++
			continue
		}
		require.Equal(t, operation.Succeed, l.verdict)
		require.GreaterOrEqual(t, l.took, time.Hour)
	}
	require.LessOrEqual(t, failed, lost, "of %d operations", all)
}

// A short outage must not cost hours: the delay that is under way when the provider
// comes back is of the outage's own order.
func TestPolicy_ComesBackSoonAfterAShortOutage(t *testing.T) {
	t.Parallel()
	const all = 2000
	var sum time.Duration
	for range all {
		sum += throughOutage(time.Minute).took
	}
	require.Less(t, sum/all, 6*time.Minute, "on average")
}

func TestPolicy_ADayOf500sEndsWithAReason(t *testing.T) {
	t.Parallel()
	for range 1000 {
		l := throughOutage(operation.DefaultDeadline)
		require.Equal(t, operation.Fail, l.verdict)
		require.Equal(t, operation.DefaultMaxAttempts, l.attempts)
		require.Less(t, l.took, operation.DefaultDeadline)
		require.Equal(t, "gave up after attempt 12 of 12", l.gaveUp)
	}
}
