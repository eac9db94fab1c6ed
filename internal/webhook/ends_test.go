package webhook

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// order remembers what was done, in its order.
type order struct {
	publisher
	did  []string
	last Ended
	err  error
}

func (o *order) Event(context.Context, operation.Event) error {
	o.did = append(o.did, "published")
	return nil
}

func (o *order) Ended(_ context.Context, e Ended) error {
	o.did, o.last = append(o.did, "noted"), e
	return o.err
}

// TestEnds_NoEndIsPublishedThatIsNotNoted: once it is, nobody comes back to it, and a dead letter
// would be lost.
func TestEnds_NoEndIsPublishedThatIsNotNoted(t *testing.T) {
	t.Parallel()
	s := Subscription{ID: uuid.New(), PartnerID: uuid.New()}
	about := Reference{Message: uuid.Must(uuid.NewV7()), Event: EventFailed}
	a, err := about.delivery(s, "")
	require.NoError(t, err)
	o := &order{err: errors.New("away")}
	ends := Ends{Publisher: o, Dead: o}
	event := operation.Event{Operation: operation.Operation{Accepted: a, Status: operation.Failed}}
	require.ErrorIs(t, ends.Event(t.Context(), event), o.err)
	require.Equal(t, []string{"noted"}, o.did)

	o.did, o.err = nil, nil
	require.NoError(t, ends.Event(t.Context(), event))
	require.Equal(t, []string{"noted", "published"}, o.did)
	require.Equal(t, Ended{Webhook: s.ID, Delivery: a.ID, Reference: about, Dead: true}, o.last)
	event.Operation.Status = operation.Succeeded
	require.NoError(t, ends.Event(t.Context(), event))
	require.Equal(t, Ended{Webhook: s.ID, Delivery: a.ID, Reference: about, Success: true}, o.last)

	o.did, event.Operation.Status = nil, operation.Pending
	require.NoError(t, ends.Event(t.Context(), event))
	require.Equal(t, []string{"published"}, o.did, "it goes on")
}
