package operation_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/pkg/operation"
)

// The outcomes of a call, as an adapter classifies them.
var (
	unreadable   = operation.Failure{Type: operation.ErrorTSP, Retryable: true, StatusCode: 200}
	serverError  = operation.Failure{Type: operation.ErrorTSP, Retryable: true, StatusCode: 503}
	rateLimited  = operation.Failure{Type: operation.ErrorTSP, Retryable: true, StatusCode: 429, RetryAfter: 90 * time.Second}
	noHint       = operation.Failure{Type: operation.ErrorTSP, Retryable: true, StatusCode: 429}
	unreachable  = operation.Failure{Type: operation.ErrorNetwork, Retryable: true}
	unauthorized = operation.Failure{Type: operation.ErrorAuth, Refresh: true, StatusCode: 401}
	forbidden    = operation.Failure{Type: operation.ErrorAuth, StatusCode: 403}
	invalid      = operation.Failure{Type: operation.ErrorValidation, StatusCode: 422}
	redirected   = operation.Failure{Type: operation.ErrorTSP, StatusCode: 302}
)

// TestDecide has a row for every line of the table of provider outcomes, and the
// rows for its limits.
func TestDecide(t *testing.T) {
	t.Parallel()
	const (
		long  = 24 * time.Hour
		short = time.Second // Every drawn delay of the policy below is shorter.
	)
	policy := operation.Backoff{Base: 10 * time.Millisecond, Cap: 100 * time.Millisecond}
	first := operation.Situation{Number: 1, Left: long}
	for _, tc := range []struct {
		name      string
		failure   *operation.Failure
		situation operation.Situation
		verdict   operation.Verdict
		// delay is exact; zero for Again stands for one drawn from the policy.
		delay   time.Duration
		block   time.Duration
		network bool
		gaveUp  string
	}{
		{name: "an answer that names the user", situation: first, verdict: operation.Succeed},
		{name: "an answer that cannot be read", failure: &unreadable, situation: first, verdict: operation.Again},
		{name: "5xx", failure: &serverError, situation: first, verdict: operation.Again},
		{
			name: "429 with a hint", failure: &rateLimited, situation: first,
			verdict: operation.Again, delay: 90 * time.Second, block: 90 * time.Second,
		},
		{name: "429 without a hint", failure: &noHint, situation: first, verdict: operation.Again},
		{name: "not reached", failure: &unreachable, situation: first, verdict: operation.Again, network: true},
		{name: "401", failure: &unauthorized, situation: first, verdict: operation.Renew},
		{
			name: "401 with a fresh credential", failure: &unauthorized,
			situation: operation.Situation{Number: 2, Left: long, Refreshed: true}, verdict: operation.Fail,
		},
		{name: "403", failure: &forbidden, situation: first, verdict: operation.Fail},
		{name: "422", failure: &invalid, situation: first, verdict: operation.Fail},
		{name: "a field the provider cannot hold", failure: operation.Refuse("no notes"), situation: first, verdict: operation.Fail},
		{name: "a redirect to another host", failure: &redirected, situation: first, verdict: operation.Fail},

		{
			name: "one before the last attempt", failure: &serverError,
			situation: operation.Situation{Number: 2, MaxAttempts: 3, Left: long}, verdict: operation.Again,
		},
		{
			name: "the last attempt", failure: &serverError,
			situation: operation.Situation{Number: 3, MaxAttempts: 3, Left: long},
			verdict:   operation.Fail, gaveUp: "gave up after attempt 3 of 3",
		},
		{
			name: "after the last attempt", failure: &serverError,
			situation: operation.Situation{Number: 4, MaxAttempts: 3, Left: long},
			verdict:   operation.Fail, gaveUp: "gave up after attempt 4 of 3",
		},
		{
			name: "one before the last attempt by default", failure: &serverError,
			situation: operation.Situation{Number: 11, Left: long}, verdict: operation.Again,
		},
		{
			name: "the last attempt by default", failure: &serverError,
			situation: operation.Situation{Number: 12, Left: long},
			verdict:   operation.Fail, gaveUp: "gave up after attempt 12 of 12",
		},
		{
			name: "the last attempt not reached", failure: &unreachable,
			situation: operation.Situation{Number: 3, MaxAttempts: 3, Left: long},
			verdict:   operation.Fail, network: true, gaveUp: "gave up after attempt 3 of 3",
		},
		{
			name: "the last attempt 401", failure: &unauthorized,
			situation: operation.Situation{Number: 3, MaxAttempts: 3, Left: long}, verdict: operation.Fail,
		},
		{
			name: "the last attempt succeeds", situation: operation.Situation{Number: 3, MaxAttempts: 3, Left: long},
			verdict: operation.Succeed,
		},
		{
			name: "no time left", failure: &serverError, situation: operation.Situation{Number: 1},
			verdict: operation.Fail, gaveUp: "gave up: the next attempt would come after the operation's deadline",
		},
		{
			name: "past the deadline", failure: &serverError, situation: operation.Situation{Number: 1, Left: -time.Minute},
			verdict: operation.Fail, gaveUp: "gave up: the next attempt would come after the operation's deadline",
		},
		{
			name: "time for the delay", failure: &serverError, situation: operation.Situation{Number: 1, Left: short},
			verdict: operation.Again,
		},
		{
			name: "the hint ends at the deadline", failure: &rateLimited, situation: operation.Situation{Number: 1, Left: 90 * time.Second},
			verdict: operation.Fail, block: 90 * time.Second,
			gaveUp: "gave up: the next attempt would come after the operation's deadline",
		},
		{
			name: "the hint ends before the deadline", failure: &rateLimited,
			situation: operation.Situation{Number: 1, Left: 90*time.Second + 1},
			verdict:   operation.Again, delay: 90 * time.Second, block: 90 * time.Second,
		},
		{name: "success past the deadline", situation: operation.Situation{Number: 1, Left: -time.Minute}, verdict: operation.Succeed},
		{
			name: "401 with no time left", failure: &unauthorized, situation: operation.Situation{Number: 1},
			verdict: operation.Renew,
		},

		{name: "sync succeeds", situation: operation.Situation{Number: 1, Left: long, Sync: true}, verdict: operation.Succeed},
		{
			name: "sync 5xx", failure: &serverError,
			situation: operation.Situation{Number: 1, Left: long, Sync: true}, verdict: operation.Fail,
		},
		{
			name: "sync 401", failure: &unauthorized,
			situation: operation.Situation{Number: 1, Left: long, Sync: true}, verdict: operation.Fail,
		},
		{
			name: "sync 429 blocks the connection all the same", failure: &rateLimited,
			situation: operation.Situation{Number: 1, Left: long, Sync: true}, verdict: operation.Fail, block: 90 * time.Second,
		},
		{
			name: "sync not reached feeds the breaker all the same", failure: &unreachable,
			situation: operation.Situation{Number: 1, Left: long, Sync: true}, verdict: operation.Fail, network: true,
		},
		{
			name: "a number below one is the first", failure: &serverError,
			situation: operation.Situation{Number: -3, Left: long}, verdict: operation.Again,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := operation.Decide(tc.failure, tc.situation, policy)
			require.Equal(t, tc.verdict, got.Verdict)
			require.Equal(t, tc.block, got.Block)
			require.Equal(t, tc.network, got.Network)
			require.Equal(t, tc.gaveUp, got.GaveUp)
			if tc.verdict == operation.Again && tc.delay == 0 {
				require.Positive(t, got.Delay)
				require.LessOrEqual(t, got.Delay, policy.Cap)
				return
			}
			require.Equal(t, tc.delay, got.Delay)
		})
	}
}

// TestDecide_Rules says what holds for every outcome in every situation.
func TestDecide_Rules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := drawFailure(t)
		s := operation.Situation{
			Number:      rapid.IntRange(-2, 20).Draw(t, "number"),
			MaxAttempts: rapid.IntRange(-1, 20).Draw(t, "max attempts"),
			Left:        time.Duration(rapid.Int64Range(-int64(time.Hour), int64(48*time.Hour)).Draw(t, "left")),
			Refreshed:   rapid.Bool().Draw(t, "refreshed"),
			Sync:        rapid.Bool().Draw(t, "sync"),
		}
		limit := s.MaxAttempts
		if limit <= 0 {
			limit = operation.DefaultMaxAttempts
		}
		d := operation.Decide(f, s, operation.Backoff{})

		require.Equal(t, f == nil, d.Verdict == operation.Succeed, "success is the outcome of a success only")
		if d.Verdict == operation.Again || d.Verdict == operation.Renew {
			require.False(t, s.Sync, "sync is attempted once")
			require.Less(t, s.Number, limit, "no attempt beyond the limit")
			require.Empty(t, d.GaveUp)
		}
		switch d.Verdict {
		case operation.Again:
			require.True(t, f.Retryable)
			require.Positive(t, d.Delay)
			require.GreaterOrEqual(t, d.Delay, f.RetryAfter, "never earlier than the provider asked")
			require.Less(t, d.Delay, s.Left, "never at or after the deadline")
		case operation.Renew:
			require.True(t, f.Refresh)
			require.False(t, s.Refreshed, "a credential is renewed once")
			require.Zero(t, d.Delay)
		case operation.Succeed, operation.Fail:
			require.Zero(t, d.Delay)
		}
		if f != nil {
			require.Equal(t, f.RetryAfter, d.Block)
			require.Equal(t, f.Type == operation.ErrorNetwork, d.Network)
		}
		if d.GaveUp != "" {
			require.Equal(t, operation.Fail, d.Verdict)
			require.True(t, f.Retryable, "only what could have been retried is given up")
		}
	})
}

func drawFailure(t *rapid.T) *operation.Failure {
	if rapid.Bool().Draw(t, "success") {
		return nil
	}
	f := &operation.Failure{
		Type: rapid.SampledFrom([]operation.ErrorType{
			operation.ErrorAuth, operation.ErrorValidation, operation.ErrorNetwork, operation.ErrorTSP,
		}).Draw(t, "type"),
		Retryable: rapid.Bool().Draw(t, "retryable"),
		Refresh:   rapid.Bool().Draw(t, "refresh"),
	}
	if f.Retryable && rapid.Bool().Draw(t, "hint") {
		f.RetryAfter = time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "retry after"))
	}
	return f
}

func TestFailure_IsAnErrorWithItsCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection reset")
	err := error(&operation.Failure{Type: operation.ErrorNetwork, Detail: "The provider was not reached.", Err: cause})
	require.EqualError(t, err, "network: The provider was not reached.")
	require.ErrorIs(t, err, cause)
	refused := operation.Refuse("%s has no room for %s", "samsara", "dot_id")
	require.Equal(t, &operation.Failure{Type: operation.ErrorValidation, Detail: "samsara has no room for dot_id"}, refused)
}

func TestError_ShowsClassAndMessageOnly(t *testing.T) {
	t.Parallel()
	cause := errors.New("secret")
	err := error(&operation.Error{Code: operation.CodeNotFound, Message: "There is no such user.", Err: cause})
	require.EqualError(t, err, "not_found: There is no such user.")
	require.ErrorIs(t, err, cause)
}
