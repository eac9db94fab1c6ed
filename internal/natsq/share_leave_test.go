package natsq

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

// TestShared_WhatIsTooLateStays: what has waited so long that its ack would come too late does not
// leave: its caller gives it to the outbox, and it would be there twice. Nor does what nobody
// waits for any more.
func TestShared_WhatIsTooLateStays(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(testenv.NATS(t), testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	s := NewPublisher(nc, nil).quiet
	gone, leave := context.WithCancel(t.Context())
	leave()
	parcelOf := func(ctx context.Context, waited time.Duration) *parcel {
		p := newParcel(ctx, s.subject, nil, 1, &operation.Accepted{})
		p.began = p.began.Add(-waited)
		return p
	}
	const inTime = -time.Minute // however long the test takes
	late, first := parcelOf(t.Context(), shareWait), parcelOf(t.Context(), inTime)
	left, second := parcelOf(gone, inTime), parcelOf(t.Context(), inTime)
	ready := s.readyToLeave([]*parcel{late, first, left, second})
	require.ErrorIs(t, late.err, context.DeadlineExceeded)
	require.ErrorIs(t, left.err, context.Canceled)
	require.Len(t, ready, 2)
	for i, p := range []*parcel{first, second} {
		require.Same(t, p, ready[i])
		require.NoError(t, p.err)
	}
}
