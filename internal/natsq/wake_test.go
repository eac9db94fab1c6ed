package natsq_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

// worker runs a puller until stop, or the end of the test, and counts what it put away.
type worker struct {
	dead atomic.Int64
	stop func()
}

func work(t *testing.T, c client, free int, pass natsq.Pass) *worker {
	t.Helper()
	w := &worker{}
	wakes := natsq.NewWakes(c.js, c.pub, func() int { return free }, func() { w.dead.Add(1) }, quiet)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- wakes.Run(ctx, pass) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-ended)
	}
	t.Cleanup(w.stop)
	return w
}

// acking passes what comes to the channel and acks it.
func acking(got chan<- operation.Message) natsq.Pass {
	return func(ctx context.Context, m operation.Message, ack, _ func()) {
		ack()
		select {
		case got <- m:
		case <-ctx.Done():
		}
	}
}

// receive takes one message; the test's own deadline bounds the wait.
func receive(t *testing.T, got <-chan operation.Message) operation.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	select {
	case m := <-got:
		return m
	case <-ctx.Done():
		require.Fail(t, "no message came")
		return operation.Message{}
	}
}

func TestWakes_PassesQuietMessagesOn(t *testing.T) {
	t.Parallel()
	for name, free := range map[string]int{"slots free": 8, "no slot free: one is prefetched": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := ready(t, testenv.NATS(t))
			const n = 20
			for i := range n {
				require.NoError(t, c.pub.Accepted(t.Context(), message(2*i), true))
				require.NoError(t, c.pub.Accepted(t.Context(), message(2*i+1), false))
			}
			got := make(chan operation.Message, 2*n)
			w := work(t, c, free, acking(got))
			for i := range n {
				require.Equal(t, message(2*i), receive(t, got))
			}
			c.settled(t)
			w.stop()
			require.Empty(t, got, "a busy message wakes nobody, and nothing comes twice")
			require.Zero(t, w.dead.Load())
			require.EqualValues(t, 2*n, c.messages(t, natsq.StreamOperations), "what was acked stays to be remembered")
		})
	}
}

// TestWakes_PullsNoMoreThanItCanUse: the rest stays for the other workers.
func TestWakes_PullsNoMoreThanItCanUse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ free, want int }{"three slots": {3, 3}, "none": {0, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := ready(t, testenv.NATS(t))
			for i := range 10 {
				require.NoError(t, c.pub.Accepted(t.Context(), message(i), true))
			}
			held := make(chan struct{}, 10)
			work(t, c, tc.free, func(ctx context.Context, _ operation.Message, _, nak func()) {
				held <- struct{}{}
				<-ctx.Done()
				nak()
			})
			<-held
			require.Eventually(t, func() bool { // the server counts a little later
				now := c.consumer(t)
				return now.NumAckPending == tc.want && now.NumPending == uint64(10-tc.want)
			}, within, every)
		})
	}
}

func TestWakes_NakGoesToAnother(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	c := ready(t, url)
	require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
	// The first worker gives its message back and then is busy for ever.
	nakked := make(chan struct{}, 1)
	first := work(t, c, 1, func(ctx context.Context, _ operation.Message, _, nak func()) {
		nak()
		nakked <- struct{}{}
		<-ctx.Done()
	})
	<-nakked
	got := make(chan operation.Message, 1)
	work(t, connect(t, url), 1, acking(got))
	require.Equal(t, message(1), receive(t, got))
	c.settled(t)
	require.Zero(t, first.dead.Load())
}

// TestWakes_UnackedComesBack: a worker that died held its messages; AckWait gives
// them to another.
func TestWakes_UnackedComesBack(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	cfg := small
	cfg.AckWait = 100e6 // 100 ms
	require.NoError(t, natsq.Ensure(t.Context(), c.js, cfg))
	require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
	var times atomic.Int64
	got := make(chan operation.Message, 1)
	work(t, c, 1, func(ctx context.Context, m operation.Message, ack, nak func()) {
		if times.Add(1) > 1 {
			acking(got)(ctx, m, ack, nak)
		}
	})
	require.Equal(t, message(1), receive(t, got))
	c.settled(t)
}

func TestWakes_PutsAwayWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	c := ready(t, url)
	newer, previous := message(1), message(2)
	newer.Version, previous.Version = operation.Version+1, operation.Version-1
	poison := [][]byte{[]byte("poison"), {}, encode(t, newer), []byte("poison")}
	for _, data := range poison {
		_, err := c.js.Publish(t.Context(), natsq.SubjectQuiet, data)
		require.NoError(t, err)
	}
	require.NoError(t, c.pub.Accepted(t.Context(), previous, true))
	require.NoError(t, c.pub.Accepted(t.Context(), message(3), true))

	got := make(chan operation.Message, 10)
	workers := []*worker{work(t, c, 2, acking(got)), work(t, connect(t, url), 2, acking(got))}
	understood := []operation.Message{receive(t, got), receive(t, got)}
	require.ElementsMatch(t, []operation.Message{previous, message(3)}, understood)
	c.settled(t)
	var dead int64
	for _, w := range workers {
		w.stop()
		dead += w.dead.Load()
	}
	require.EqualValues(t, len(poison), dead)
	require.Empty(t, got)

	s, err := c.js.Stream(t.Context(), natsq.StreamDead)
	require.NoError(t, err)
	require.EqualValues(t, len(poison), s.CachedInfo().State.Msgs)
	var kept [][]byte
	for seq := range poison {
		raw, err := s.GetMsg(t.Context(), uint64(seq+1))
		require.NoError(t, err)
		require.Equal(t, natsq.SubjectDead, raw.Subject)
		require.Equal(t, natsq.SubjectQuiet, raw.Header.Get("Writeback-Subject"))
		require.Contains(t, raw.Header.Get("Writeback-Reason"), natsq.ErrNotUnderstood.Error())
		kept = append(kept, append([]byte{}, raw.Data...))
	}
	require.ElementsMatch(t, poison, kept)
}

// TestWakes_PoisonStaysUntilItIsKept: with no dead-letter stream the message is
// neither lost nor passed on, and what follows it is.
func TestWakes_PoisonStaysUntilItIsKept(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	require.NoError(t, c.js.DeleteStream(t.Context(), natsq.StreamDead))
	_, err := c.js.Publish(t.Context(), natsq.SubjectQuiet, []byte("poison"))
	require.NoError(t, err)
	require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
	got := make(chan operation.Message, 10)
	w := work(t, c, 1, acking(got))
	require.Equal(t, message(1), receive(t, got))
	require.Eventually(t, func() bool {
		info := c.consumer(t)
		return info.NumAckPending == 1 && info.NumPending == 0
	}, within, every)
	require.Zero(t, w.dead.Load())

	tried := time.Now()
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	c.settled(t)
	require.Greater(t, time.Since(tried), time.Second, "it is not tried at once, again and again")
	require.Eventually(t, func() bool { return w.dead.Load() == 1 }, within, every)
	require.EqualValues(t, 1, c.messages(t, natsq.StreamDead))
}

// TestWakes_PutsAwayOneOfMany: what the others of its message say is passed on, and what is
// kept can be published again alone.
func TestWakes_PutsAwayOneOfMany(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	newer := message(2)
	newer.Version = operation.Version + 1
	c.many(t, natsq.SubjectQuietBatch, "operations", message(1), newer, "odd", message(3))
	got := make(chan operation.Message, 10)
	w := work(t, c, 4, acking(got))
	require.Equal(t, message(1), receive(t, got))
	require.Equal(t, message(3), receive(t, got))
	c.settled(t)
	w.stop()
	require.EqualValues(t, 2, w.dead.Load())
	require.Empty(t, got)

	s, err := c.js.Stream(t.Context(), natsq.StreamDead)
	require.NoError(t, err)
	require.EqualValues(t, 2, s.CachedInfo().State.Msgs)
	for seq, want := range []string{string(encode(t, newer)), `"odd"`} {
		raw, err := s.GetMsg(t.Context(), uint64(seq+1))
		require.NoError(t, err)
		require.JSONEq(t, want, string(raw.Data))
		require.Equal(t, natsq.SubjectQuiet, raw.Header.Get("Writeback-Subject"))
		require.Contains(t, raw.Header.Get("Writeback-Reason"), natsq.ErrNotUnderstood.Error())
	}
}

// TestWakes_OneOfManyStaysUntilItIsKept: with no dead-letter stream its message comes again.
func TestWakes_OneOfManyStaysUntilItIsKept(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	require.NoError(t, c.js.DeleteStream(t.Context(), natsq.StreamDead))
	c.many(t, natsq.SubjectQuietBatch, "operations", message(1), "odd")
	got, at := make(chan operation.Message, 100), make(chan time.Time, 100)
	pass := acking(got)
	w := work(t, c, 4, func(ctx context.Context, m operation.Message, ack, nak func()) {
		at <- time.Now()
		pass(ctx, m, ack, nak)
	})
	require.Equal(t, message(1), receive(t, got))
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	require.Eventually(t, func() bool { return w.dead.Load() == 1 }, within, every)
	c.settled(t)
	first := <-at
	require.Greater(t, (<-at).Sub(first), time.Second, "it does not come at once, again and again")
	require.EqualValues(t, 1, c.messages(t, natsq.StreamDead))
}

// TestWakes_GoesOnAfterAServerRestart: the worker is left alone while its server
// is killed and comes back; it misses nothing.
func TestWakes_GoesOnAfterAServerRestart(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	c := ready(t, server.URL())
	got := make(chan operation.Message, 10)
	work(t, c, 4, acking(got))
	for n := range 3 {
		require.NoError(t, c.pub.Accepted(t.Context(), message(n), true))
		// An ack that died with the server brings its message again.
		for receive(t, got).ID != message(n).ID {
		}
		server.Kill()
		require.Eventually(t, func() bool { return !c.pub.Connected() }, within, every)
		require.NoError(t, server.Restart())
		require.Eventually(t, c.pub.Connected, within, every)
	}
	require.NoError(t, c.pub.Accepted(t.Context(), message(9), true))
	for receive(t, got).ID != message(9).ID {
	}
	require.EqualValues(t, 4, c.messages(t, natsq.StreamOperations))
}

// TestWakes_ConsumerComesLater: a worker may start before the streams are made.
func TestWakes_ConsumerComesLater(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	got := make(chan operation.Message, 1)
	work(t, c, 1, acking(got))
	_, err := c.js.Stream(t.Context(), natsq.StreamOperations)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
	require.Equal(t, message(1), receive(t, got))
}

// A puller goes on by itself once what somebody deleted has been made anew.
func TestWakes_GoOnWithWhatWasMadeAnew(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, c client){
		"consumer": func(t *testing.T, c client) {
			require.NoError(t, c.js.DeleteConsumer(t.Context(), natsq.StreamOperations, natsq.ConsumerQuiet))
		},
		"stream": func(t *testing.T, c client) {
			require.NoError(t, c.js.DeleteStream(t.Context(), natsq.StreamOperations))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := ready(t, testenv.NATS(t))
			got := make(chan operation.Message, 100)
			work(t, c, 8, acking(got))
			require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
			receive(t, got)
			lose(t, c)
			cfg := small
			cfg.After = map[string]uint64{natsq.ConsumerQuiet: 1}
			if name == "stream" {
				cfg.After[natsq.ConsumerQuiet] = 0
			}
			require.NoError(t, natsq.Ensure(t.Context(), c.js, cfg))
			m := message(2)
			require.NoError(t, c.pub.Accepted(t.Context(), m, true))
			require.Equal(t, m.ID, receive(t, got).ID)
		})
	}
}

// TestOutage_IsLoggedOnceInAWhile: what pulls says that NATS is away, and not every second.
func TestOutage_IsLoggedOnceInAWhile(t *testing.T) {
	t.Parallel()
	c := connect(t, "nats://127.0.0.1:1")
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error {
		return natsq.NewWakes(c.js, c.pub, func() int { return 1 }, func() {}, log).Run(ctx, nil)
	})
	g.Go(func() error { return natsq.NewFeed(c.js, log).Run(ctx, nil, nil) })
	require.NoError(t, g.Wait())
	require.Equal(t, 1, strings.Count(out.String(), "pulling wake-ups"), out.String())
	require.Equal(t, 1, strings.Count(out.String(), "feeding webhooks"), out.String())
	require.Equal(t, 2, strings.Count(out.String(), "NATS is not connected (nats://127.0.0.1:1)"), out.String())
}
