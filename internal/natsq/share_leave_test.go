package natsq

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"golang.org/x/sync/errgroup"

	"writeback/internal/metrics"
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

// TestShared_WhoGoesIsMeasured: whose context ends while the message before it is under way has
// failed to publish as much as others, and span and metric say so.
func TestShared_WhoGoesIsMeasured(t *testing.T) {
	spans, sent := Measured(t)
	nc, err := nats.Connect(testenv.NATS(t), testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	s := NewPublisher(nc, nil).quiet
	left, arrive := make(chan struct{}), make(chan struct{})
	s.convoy.Slow = time.Hour
	s.convoy.Travel = func([]*parcel) { close(left); <-arrive }
	var first errgroup.Group
	first.Go(func() error { return s.publish(context.Background(), &operation.Message{}, &operation.Accepted{}) })
	<-left

	traced, request := otel.Tracer("test").Start(t.Context(), "request")
	gone, leave := context.WithCancel(traced)
	leave()
	late, end := context.WithTimeout(traced, 0)
	defer end()
	require.ErrorIs(t, s.publish(gone, &operation.Message{}, &operation.Accepted{}), context.Canceled)
	require.ErrorIs(t, s.publish(late, &operation.Message{}, &operation.Accepted{}), context.DeadlineExceeded)
	request.End()
	close(arrive)
	require.NoError(t, first.Wait())

	var said []string
	for _, span := range spans.Ended() {
		if span.Status().Code == codes.Error {
			said = append(said, span.Name()+": "+span.Status().Description)
		}
	}
	require.Equal(t, []string{"publish " + SubjectQuiet + ": " + metrics.Other, "publish " + SubjectQuiet + ": " + metrics.ErrorTimeout}, said)
	require.Equal(t, map[string]int64{metrics.Other: 1, metrics.ErrorTimeout: 1}, sent("error.type"))
}
