package redismodes

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/metrics"
	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// silent is a source of messages from which none comes, and a restorer that restores nothing.
type silent struct{}

func (silent) Run(ctx context.Context, _ func(context.Context, operation.Message, func(), func())) error {
	<-ctx.Done()
	return nil
}

func (silent) Restore(context.Context, []int) error { return nil }

func (silent) Finish(context.Context, []int) error { return nil }

// succeeding makes no call, and says that it went well.
type succeeding struct{}

func (succeeding) Attempt(_ context.Context, l redisstore.Lease) redisstore.Outcome {
	now := time.Now().UTC()
	return redisstore.Outcome{
		Connection: l.ConnectionID, Decision: operation.Decision{Verdict: operation.Succeed}, Reach: redisstore.Answered, Accepted: &l.Accepted,
		Attempt: operation.Attempt{ID: l.AttemptID, OperationID: l.ID, StartedAt: now, EndedAt: now, Status: operation.AttemptSucceeded, StatusCode: 200},
	}
}

// With one primary away a worker finds by itself what is due in the shards of the others.
func TestCluster_WorkerWithOnePrimaryAway(t *testing.T) {
	t.Parallel()
	nodes := testenv.RedisCluster(t, 3)
	r := newRig(t, clusterURL(nodes))
	r.partial(nodes)
	all := r.accept()
	away := r.onNode(nodes[0])
	nodes[0].Kill()

	log := slog.New(slog.DiscardHandler)
	nc, err := natsq.Connect(testenv.NATS(t), "test", log)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, natsq.Publishing()...)
	require.NoError(t, err)
	w := work.NewLaneWorker(
		work.Parts{Store: r.store, Publisher: natsq.NewPublisher(nc, js), Log: log}, work.Config{Poll: 10 * time.Millisecond},
		work.NewAcker(r.store, log), silent{}, work.Lanes{
			Queue: metrics.QueueWebhooks, Attempt: succeeding{}, Limits: func(uuid.UUID) redisstore.Limits { return limits },
		})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, silent{}) }()
	for shard, a := range all {
		if away[shard] {
			continue
		}
		require.Eventually(t, func() bool {
			op, err := r.store.Get(t.Context(), a.ConnectionID, a.ID)
			return err == nil && op.Status == operation.Succeeded
		}, within, every)
	}
	stop()
	require.NoError(t, <-ended)
}
