package natsq_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

// TestWakes_AcksBeforeItsConnectionIsClosed: a worker that stops leaves nothing to be looked at
// once more, of what was acked just before or is only then.
func TestWakes_AcksBeforeItsConnectionIsClosed(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	c := ready(t, url)
	for i := range 2 {
		require.NoError(t, c.pub.Accepted(t.Context(), message(i), true))
	}
	acks := make(chan func(), 2)
	w := work(t, c, 8, func(_ context.Context, _ operation.Message, ack, _ func()) { acks <- ack })
	first, second := <-acks, <-acks
	first()
	w.stop()
	second()
	require.NoError(t, c.nc.Flush())
	c.nc.Close()
	connect(t, url).settled(t)
}

// TestWakes_PullsByWhatMessagesHold: of messages of many a worker asks for fewer.
func TestWakes_PullsByWhatMessagesHold(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	const free, many = 8, 4
	publish := func(n int) {
		for range n {
			c.many(t, natsq.SubjectQuietBatch, "operations", message(1), message(2), message(3), message(4))
		}
	}
	publish(free)
	looked, all := 0, make(chan struct{})
	work(t, c, free, func(ctx context.Context, _ operation.Message, ack, _ func()) {
		if looked++; looked > free*many {
			<-ctx.Done()
		} else if looked == free*many {
			close(all)
		}
		ack()
	})
	<-all
	publish(free)
	require.Eventually(t, func() bool {
		now := c.consumer(t)
		return now.NumAckPending == free/many && now.NumPending == free-free/many
	}, within, every)
}
