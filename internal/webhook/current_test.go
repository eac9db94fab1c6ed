package webhook

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// behind has not read its subscriptions yet.
type behind struct{ subscriptions }

func (behind) Current(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// TestFanout_WaitsNotForLong for subscriptions: the event comes again, and the others have their
// turn meanwhile.
func TestFanout_WaitsNotForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &Fanout{Subscriptions: behind{}}
		e := operation.Event{Operation: operation.Operation{Status: operation.Failed}}
		for _, tell := range []func() error{
			func() error { return f.Created(t.Context(), operation.Message{}) },
			func() error { return f.Ended(t.Context(), e) },
			func() error { return f.Staled(t.Context(), Subscription{ID: uuid.New()}) },
		} {
			began := time.Now()
			require.ErrorIs(t, tell(), context.DeadlineExceeded)
			require.Equal(t, currentFor, time.Since(began))
		}
	})
}
