package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// known are the subscriptions and operations of a store: one of each, or the reason why not.
type known struct {
	s     Subscription
	gone  bool
	lost  error
	op    operation.Operation
	opErr error
}

func (k known) Find(context.Context, uuid.UUID) (Subscription, bool, error) {
	return k.s, !k.gone, k.lost
}
func (known) Secrets(Subscription, time.Time) ([]string, error) { return []string{"s"}, nil }
func (known) Stale(context.Context, Subscription, string) (bool, error) {
	return false, nil
}
func (k known) Get(context.Context, uuid.UUID, uuid.UUID) (operation.Operation, error) {
	return k.op, k.opErr
}
func (known) Sent(context.Context, Sent) error { return nil }
func (known) Observe(context.Context, Subscription, bool) (Health, error) {
	return Health{Average: 1}, nil
}
func (known) Silent(context.Context, Subscription) (int, error) { return 0, nil }

// taking is an endpoint that takes everything.
type taking struct{ sends int }

func (c *taking) Do(*http.Request) (*http.Response, error) {
	c.sends++
	return &http.Response{StatusCode: http.StatusAccepted, Body: http.NoBody}, nil
}

// What cannot be known now is not sent, and costs the delivery nothing; what is gone for good
// is a dead letter, and what its partner has ended is none.
func TestAttempt_SendsOnlyWhatIsKnown(t *testing.T) {
	t.Parallel()
	const sent, refused, dead = "sent", "refused", "dead" // else not made
	away, now := errors.New("away"), time.Now()
	active := Subscription{ID: uuid.New(), PartnerID: uuid.New(), URL: "https://example.com/hook", Status: Active}
	pending, ended := operation.Operation{Status: operation.Pending}, operation.Operation{Status: operation.Succeeded}
	for name, tc := range map[string]struct {
		event string
		have  known
		age   time.Duration
		want  string
	}{
		"an end":                         {event: EventSucceeded, have: known{s: active, op: ended}, want: sent},
		"an accept":                      {event: EventCreated, have: known{s: active, op: pending}, want: sent},
		"an accept of what has ended":    {event: EventCreated, have: known{s: active, op: ended}, want: sent},
		"an end that the store lost":     {event: EventSucceeded, have: known{s: active, op: pending}},
		"the subscription is not known":  {event: EventSucceeded, have: known{lost: away, op: ended}},
		"it is deleted":                  {event: EventSucceeded, have: known{s: Subscription{Status: Deleted}, op: ended}, want: refused},
		"it is forgotten":                {event: EventSucceeded, have: known{gone: true, op: ended}, want: refused},
		"the operation is not known":     {event: EventSucceeded, have: known{s: active, opErr: away}},
		"it may be on its way back":      {event: EventSucceeded, have: known{s: active, opErr: redisstore.ErrMissing}, age: settled - time.Second},
		"it never comes back":            {event: EventSucceeded, have: known{s: active, opErr: redisstore.ErrMissing}, age: settled, want: dead},
		"who was given up is gone":       {event: EventStaled, have: known{gone: true}, want: refused},
		"the delivery is not understood": {have: known{s: active, op: ended}, want: refused},
	} {
		client := &taking{}
		a := Attempter{Endpoints: tc.have, Operations: tc.have, Diary: tc.have, Client: client, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}
		delivery, err := Reference{Message: uuid.New(), Event: tc.event, Operation: uuid.New()}.delivery(active, "")
		require.NoError(t, err)
		if tc.event == "" {
			delivery.SourceID = "{"
		}
		out := a.Attempt(t.Context(), redisstore.Lease{
			Accepted: delivery, Place: operation.Place{Seq: now.Add(-tc.age).UnixMicro()}, AttemptID: uuid.New(), Number: 1, Left: time.Hour,
		})
		got := ""
		switch {
		case client.sends > 0:
			got = sent
			require.Equal(t, operation.Succeed, out.Decision.Verdict, name)
		case out.Decision.Verdict == operation.Fail && out.Attempt.ErrorType == operation.ErrorValidation:
			got = refused
		case out.Decision.Verdict == operation.Fail:
			got = dead
		default:
			require.Zero(t, out, name)
		}
		require.Equal(t, tc.want, got, name)
	}
}
