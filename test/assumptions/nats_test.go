package assumptions_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
)

// TestNATS_DelayedNaksUseUpMaxAckPending is why waiting operations are not delayed
// messages: ten that wait stop the delivery of all others. With room for an
// eleventh the same steps deliver it.
func TestNATS_DelayedNaksUseUpMaxAckPending(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ limit, delivered int }{{10, 0}, {11, 1}} {
		t.Run(fmt.Sprintf("limit %d", tc.limit), func(t *testing.T) {
			t.Parallel()
			js := jetStream(t, natsConn(t, testenv.NATS(t)))
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
			require.NoError(t, err)
			consumer, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{
				Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: tc.limit,
			})
			require.NoError(t, err)
			for range 11 {
				_, err := js.Publish(t.Context(), "s", nil)
				require.NoError(t, err)
			}
			for range 10 {
				msg, err := consumer.Next()
				require.NoError(t, err)
				require.NoError(t, msg.NakWithDelay(time.Hour))
			}
			batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(time.Second))
			require.NoError(t, err)
			delivered := 0
			for range batch.Messages() {
				delivered++
			}
			require.Equal(t, tc.delivered, delivered)
			info, err := consumer.Info(t.Context())
			require.NoError(t, err)
			require.Equal(t, 10+tc.delivered, info.NumAckPending)
		})
	}
}

// TestNATS_WorkQueueKeepsWhatIsPastMaxDeliver is why attempts are not deliveries:
// nothing tells the stream that such a message is over.
func TestNATS_WorkQueueKeepsWhatIsPastMaxDeliver(t *testing.T) {
	t.Parallel()
	nc := natsConn(t, testenv.NATS(t))
	js := jetStream(t, nc)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s"}, Retention: jetstream.WorkQueuePolicy,
	})
	require.NoError(t, err)
	consumer, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{
		Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 2,
	})
	require.NoError(t, err)
	given, err := nc.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c")
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "s", []byte("x"))
	require.NoError(t, err)
	for range 2 {
		msg, err := consumer.Next(jetstream.FetchMaxWait(within))
		require.NoError(t, err)
		require.NoError(t, msg.Nak())
	}
	// The next delivery is the one too many.
	_, err = consumer.Next(jetstream.FetchMaxWait(time.Second))
	require.ErrorIs(t, err, nats.ErrTimeout)
	_, err = given.NextMsg(within)
	require.NoError(t, err)

	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.Msgs, "the message stays")
	state, err := consumer.Info(t.Context())
	require.NoError(t, err)
	require.Zero(t, state.NumPending, "and nobody gets it")
}

// TestNATS_SchedulesRefuseDiscardNew is one reason against scheduled messages: a
// full stream would drop the oldest promise instead of refusing the newest.
func TestNATS_SchedulesRefuseDiscardNew(t *testing.T) {
	t.Parallel()
	js := jetStream(t, natsConn(t, testenv.NATS(t)))
	cfg := jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, AllowMsgSchedules: true, AllowRollup: true, Discard: jetstream.DiscardNew,
	}
	_, err := js.CreateStream(t.Context(), cfg)
	require.ErrorContains(t, err, "cannot use discard new")
	cfg.Discard = jetstream.DiscardOld
	_, err = js.CreateStream(t.Context(), cfg)
	require.NoError(t, err)
}

// TestNATS_LimitsStreamKeepsWhatIsAcked: what a lost Redis is rebuilt from is what
// the workers have acked long ago.
func TestNATS_LimitsStreamKeepsWhatIsAcked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		retention jetstream.RetentionPolicy
		stays     uint64
	}{{jetstream.LimitsPolicy, 1}, {jetstream.WorkQueuePolicy, 0}} {
		js := jetStream(t, natsConn(t, testenv.NATS(t)))
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "S", Subjects: []string{"s"}, Retention: tc.retention,
		})
		require.NoError(t, err)
		consumer, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{
			Durable: "c", AckPolicy: jetstream.AckExplicitPolicy,
		})
		require.NoError(t, err)
		_, err = js.Publish(t.Context(), "s", []byte("x"))
		require.NoError(t, err)
		msg, err := consumer.Next()
		require.NoError(t, err)
		require.NoError(t, msg.DoubleAck(t.Context()))
		require.Eventually(t, func() bool {
			info, err := stream.Info(t.Context())
			return err == nil && info.State.Msgs == tc.stays
		}, within, every, "%s", tc.retention)
	}
}

// TestNATS_DisconnectedPublish: without a buffer a publish fails at once, and the
// outbox repeats it later. With the client's default it would look as if it had
// gone out.
func TestNATS_DisconnectedPublish(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	forever := nats.MaxReconnects(-1)
	unbuffered := natsConn(t, server.URL(), forever, nats.ReconnectBufSize(-1))
	buffered := natsConn(t, server.URL(), forever)
	server.Kill()
	require.Eventually(t, func() bool { return unbuffered.IsReconnecting() && buffered.IsReconnecting() }, within, every)
	require.ErrorIs(t, unbuffered.Publish("s", nil), nats.ErrReconnectBufExceeded)
	require.NoError(t, buffered.Publish("s", nil))

	_, err := jetStream(t, unbuffered).Publish(t.Context(), "s", nil)
	require.ErrorIs(t, err, nats.ErrReconnectBufExceeded)
}

// TestNATS_ClientGivesUp unless it is told never to.
func TestNATS_ClientGivesUp(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	wait := nats.ReconnectWait(time.Millisecond)
	patient := natsConn(t, server.URL(), wait, nats.MaxReconnects(-1))
	limited := natsConn(t, server.URL(), wait, nats.MaxReconnects(2))
	server.Kill()
	require.Eventually(t, limited.IsClosed, within, every)
	require.NoError(t, server.Restart())
	require.Eventually(t, patient.IsConnected, within, every)
	require.True(t, limited.IsClosed())
}

// TestNATS_AckedSurvivesKill: the ack may come before the fsync, so a host that
// goes down can lose it, but not a server that is killed. The acks stop at the
// kill, at a moment that nobody chose.
func TestNATS_AckedSurvivesKill(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	nc := natsConn(t, server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(every), nats.ReconnectBufSize(-1))
	js := jetStream(t, nc)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s"}, Compression: jetstream.S2Compression, Discard: jetstream.DiscardNew,
	})
	require.NoError(t, err)
	acked := make(map[uint64]uint64) // Sequence number to what was sent.
	half := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := uint64(0); ; n++ {
			ack, err := js.Publish(t.Context(), "s", binary.BigEndian.AppendUint64(nil, n))
			if err != nil {
				return
			}
			acked[ack.Sequence] = n
			if n == 500 {
				close(half)
			}
		}
	}()
	<-half
	server.Kill()
	<-ended
	require.NoError(t, server.Restart())
	require.Eventually(t, nc.IsConnected, within, every)
	stream, err := js.Stream(t.Context(), "S")
	require.NoError(t, err)
	for seq, n := range acked {
		msg, err := stream.GetMsg(t.Context(), seq)
		require.NoError(t, err, "message %d was acked", seq)
		require.Equal(t, n, binary.BigEndian.Uint64(msg.Data))
	}
}

// TestNATS_EndOfAnEmptiedStream: whether anything was ever written is read from
// the last sequence number, also after all of it grew too old.
func TestNATS_EndOfAnEmptiedStream(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	nc := natsConn(t, server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(every))
	js := jetStream(t, nc)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s"}, MaxAge: 100 * time.Millisecond, Duplicates: 100 * time.Millisecond,
	})
	require.NoError(t, err)
	for range 3 {
		_, err = js.Publish(t.Context(), "s", []byte("x"))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	}, within, every)
	require.NoError(t, server.Restart())
	require.Eventually(t, nc.IsConnected, within, every)
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, info.State.LastSeq)
	_, err = js.Stream(t.Context(), "T")
	require.True(t, errors.Is(err, jetstream.ErrStreamNotFound))
}
