package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// told is known, and keeps what it is told of sends.
type told struct {
	known
	secrets  []string
	silences int

	sent    []Sent
	late    bool // it was told when the attempt's context had ended
	givenUp string
}

func (k *told) Secrets(Subscription, time.Time) ([]string, error) { return k.secrets, nil }

func (k *told) Sent(ctx context.Context, s Sent) error {
	k.sent, k.late = append(k.sent, s), ctx.Err() != nil
	return nil
}

func (k *told) Silent(context.Context, Subscription) (int, error) { return k.silences, nil }

func (k *told) Stale(_ context.Context, _ Subscription, reason string) (bool, error) {
	k.givenUp = reason
	return true, nil
}

// doing is an endpoint that does as it is told.
type doing func(r *http.Request) (*http.Response, error)

func (d doing) Do(r *http.Request) (*http.Response, error) { return d(r) }

// clock is one that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// attempted makes the first send of a delivery.
func (k *told) attempted(ctx context.Context, t *testing.T, c *clock, client doing) redisstore.Outcome {
	k.op = operation.Operation{Status: operation.Succeeded}
	delivery, err := Reference{Message: uuid.New(), Event: EventSucceeded, Operation: uuid.New()}.delivery(k.s, "")
	require.NoError(t, err)
	a := Attempter{Endpoints: k, Operations: k, Diary: k, Client: client, Log: slog.New(slog.DiscardHandler), Now: c.now}
	return a.Attempt(ctx, redisstore.Lease{
		Accepted: delivery, Place: operation.Place{Seq: c.at.UnixMicro()}, AttemptID: uuid.New(), Number: 1, Left: time.Hour,
	})
}

func someone(changed time.Time) Subscription {
	return Subscription{ID: uuid.New(), PartnerID: uuid.New(), URL: "https://example.com/hook", Status: Active, Schedule: Short, ChangedAt: changed}
}

// A send that the stop of its worker breaks off is made again at once, and is nobody's fault.
func TestAttempt_BrokenOffByTheStop(t *testing.T) {
	t.Parallel()
	c, k := &clock{time.Now()}, &told{known: known{s: someone(time.Time{})}, secrets: []string{"s"}, silences: silencesInARow}
	ctx, stop := context.WithCancel(t.Context())
	out := k.attempted(ctx, t, c, func(r *http.Request) (*http.Response, error) {
		stop()
		c.at = c.at.Add(SendTimeout)
		return nil, r.Context().Err()
	})
	require.Equal(t, operation.Decision{Verdict: operation.Again}, out.Decision)
	require.Equal(t, redisstore.Uncalled, out.Reach)
	require.Equal(t, operation.ErrorNetwork, out.Attempt.ErrorType)
	require.Equal(t, "the worker stopped during the send", out.Attempt.Detail)
	require.Empty(t, k.sent)
	require.Empty(t, k.givenUp)
}

// What was answered counts, though the worker stops then.
func TestAttempt_AnsweredBeforeTheStop(t *testing.T) {
	t.Parallel()
	c, k := &clock{time.Now()}, &told{known: known{s: someone(time.Time{})}, secrets: []string{"s"}}
	ctx, stop := context.WithCancel(t.Context())
	out := k.attempted(ctx, t, c, func(*http.Request) (*http.Response, error) {
		stop()
		return &http.Response{StatusCode: http.StatusAccepted, Body: http.NoBody}, nil
	})
	require.Equal(t, operation.Succeed, out.Decision.Verdict)
	require.Len(t, k.sent, 1)
	require.False(t, k.late)
}

// Nothing is sent unsigned.
func TestAttempt_WithoutASecret(t *testing.T) {
	t.Parallel()
	c, k := &clock{time.Now()}, &told{known: known{s: someone(time.Time{})}}
	require.Zero(t, k.attempted(t.Context(), t, c, nil))
}

// An endpoint that is silent for long is given up, unless it is new or was just changed.
func TestAttempt_SilenceOfANewEndpoint(t *testing.T) {
	t.Parallel()
	for changed, want := range map[time.Duration]string{
		GraceAfterChange:     "the last 40 sends got no answer",
		GraceAfterChange / 2: "",
	} {
		c := &clock{time.Now()}
		k := &told{known: known{s: someone(c.at.Add(-changed))}, secrets: []string{"s"}, silences: silencesInARow}
		k.attempted(t.Context(), t, c, func(*http.Request) (*http.Response, error) {
			c.at = c.at.Add(SendTimeout)
			return nil, context.DeadlineExceeded
		})
		require.Len(t, k.sent, 1)
		require.Equal(t, want, k.givenUp, changed)
	}
}
