package natsq_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

func TestHistory_Ends(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	h := natsq.NewHistory(c.js)
	ends := func() [2]uint64 {
		operations, events, err := h.Ends(t.Context())
		require.NoError(t, err)
		return [2]uint64{operations, events}
	}
	_, _, err := h.Ends(t.Context())
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound, "who asks has made them, so they were removed")
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	require.Equal(t, [2]uint64{0, 0}, ends(), "empty streams")
	require.NoError(t, c.pub.Accepted(t.Context(), message(1), false))
	require.Equal(t, [2]uint64{1, 0}, ends())
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventAttempted, 1)))
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, 1)))
	require.Equal(t, [2]uint64{1, 2}, ends())

	// What grew too old was still written: the installation is not new.
	s, err := c.js.Stream(t.Context(), natsq.StreamOperations)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context()))
	require.Equal(t, [2]uint64{1, 2}, ends())
}

func TestHistory_EndsWithoutAServer(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	c := ready(t, server.URL())
	server.Kill()
	require.Eventually(t, func() bool { return !c.pub.Connected() }, within, every)
	_, _, err := natsq.NewHistory(c.js).Ends(t.Context())
	require.Error(t, err, "an absent server is not a new installation")
}

// TestHistory_ReadsAllInOrder: more than a few batches, quiet and busy, with what
// is not understood left out.
func TestHistory_ReadsAllInOrder(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	h := natsq.NewHistory(c.js)
	const n = 700
	want := make([]operation.Message, 0, n)
	for i := range n {
		if i%100 == 50 {
			_, err := c.js.Publish(t.Context(), natsq.SubjectQuiet, []byte("poison"))
			require.NoError(t, err)
			_, err = c.js.Publish(t.Context(), natsq.SubjectFailed, []byte("poison"))
			require.NoError(t, err)
		}
		want = append(want, message(i))
		require.NoError(t, c.pub.Accepted(t.Context(), message(i), i%3 == 0))
		require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, i)))
	}
	operations, events, err := h.Ends(t.Context())
	require.NoError(t, err)

	var got []operation.Message
	require.NoError(t, h.Operations(t.Context(), time.Time{}, operations, func(m []operation.Message) error {
		got = append(got, m...)
		return nil
	}))
	require.Equal(t, want, got)

	i := 0
	require.NoError(t, h.Events(t.Context(), time.Time{}, events, func(batch []operation.Event) error {
		for _, e := range batch {
			require.Equal(t, event(operation.EventFailed, i), e)
			i++
		}
		return nil
	}))
	require.Equal(t, n, i)
}

// TestHistory_SaysWhatItPassedOver: of a rebuild by an older program an operator learns that it
// was not whole.
func TestHistory_SaysWhatItPassedOver(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	later := message(1)
	later.Version = operation.Version + 1
	newer := string(encode(t, later))
	known := string(encode(t, message(2)))
	for _, data := range []string{newer, `{"v":1,"operations":[` + newer + `,` + known + `,` + newer + `]}`, known} {
		_, err := c.js.Publish(t.Context(), natsq.SubjectQuiet, []byte(data))
		require.NoError(t, err)
	}
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, 1)))
	var log bytes.Buffer
	h := natsq.NewHistory(c.js).Logging(slog.New(slog.NewTextHandler(&log, nil)))
	operations, events, err := h.Ends(t.Context())
	require.NoError(t, err)
	read := 0
	require.NoError(t, h.Operations(t.Context(), time.Time{}, operations, func(m []operation.Message) error { read += len(m); return nil }))
	require.NoError(t, h.Events(t.Context(), time.Time{}, events, func([]operation.Event) error { return nil }))
	require.Equal(t, 2, read)
	require.Contains(t, log.String(), "stream=OPERATIONS passed_over=3\n")
	require.Equal(t, 1, strings.Count(log.String(), "\n"), "nothing of what was read whole: %s", &log)
}

func TestHistory_Window(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	h := natsq.NewHistory(c.js)
	for i := range 10 {
		require.NoError(t, c.pub.Accepted(t.Context(), message(i), true))
	}
	s, err := c.js.Stream(t.Context(), natsq.StreamOperations)
	require.NoError(t, err)
	sixth, err := s.GetMsg(t.Context(), 6)
	require.NoError(t, err)
	for _, tc := range []struct {
		name  string
		since time.Time
		upTo  uint64
		first int // number of the first message that must come
		none  bool
	}{
		{name: "everything", upTo: 10, first: 0},
		{name: "nothing was there", upTo: 0, none: true},
		{name: "from a moment on", since: sixth.Time, upTo: 10, first: 5},
		{name: "later than everything", since: time.Now().Add(time.Hour), upTo: 10, none: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []operation.Message
			require.NoError(t, h.Operations(t.Context(), tc.since, tc.upTo, func(m []operation.Message) error {
				got = append(got, m...)
				return nil
			}))
			if tc.none {
				require.Empty(t, got)
				return
			}
			require.Len(t, got, 10-tc.first)
			require.Equal(t, message(tc.first), got[0])
			require.Equal(t, message(9), got[len(got)-1])
		})
	}
}

func TestHistory_StopsAtTheCallersError(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	for i := range 300 {
		require.NoError(t, c.pub.Accepted(t.Context(), message(i), true))
	}
	full := errors.New("no room")
	calls := 0
	err := natsq.NewHistory(c.js).Operations(t.Context(), time.Time{}, 300, func([]operation.Message) error {
		calls++
		return full
	})
	require.ErrorIs(t, err, full)
	require.Equal(t, 1, calls)
}

// What a copy says while there is no leader is not taken for what the stream holds, whoever asks.
// That is over soon in a cluster; here it lasts.
func TestHistory_OfACopyAloneIsNotKnown(t *testing.T) {
	t.Parallel()
	g := &gate{}
	g.open.Store(true)
	c := connect(t, guarded(t, g)) // which has no streams of its own
	for leader, known := range map[string]bool{``: false, `,"leader":"n1"`: true} {
		sub, err := c.nc.Subscribe("$JS.API.STREAM.INFO.*", func(msg *nats.Msg) {
			if err := msg.Respond([]byte(`{"config":{},"state":{},"cluster":{"name":"c"` + leader + `}}`)); err != nil {
				t.Error(err)
			}
		})
		require.NoError(t, err)
		h := natsq.NewHistory(c.js)
		for what, ask := range map[string]func() error{
			"ends":   func() error { _, _, err := h.Ends(t.Context()); return err },
			"losses": func() error { _, _, _, err := h.Losses(t.Context(), nil); return err },
			"half":   func() error { _, err := natsq.Half(t.Context(), c.js); return err },
			"bucket": func() error { _, err := natsq.BucketInfo(t.Context(), c.js, watched); return err },
		} {
			if known {
				require.NoError(t, ask(), what)
			} else {
				require.ErrorContains(t, ask(), "it has no leader", what)
			}
		}
		require.NoError(t, sub.Unsubscribe())
	}
}

// TestHistory_EndsWithAnErrorBeforeTheEnd: a reading that is ended, or finds that what was there is
// gone, is not taken for all there is, nor goes on.
func TestHistory_EndsWithAnErrorBeforeTheEnd(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(s jetstream.Stream, cancel func()) error{
		context.Canceled.Error(): func(_ jetstream.Stream, cancel func()) error { cancel(); return nil },
		"no answer in time":      func(s jetstream.Stream, _ func()) error { return s.Purge(context.Background()) },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			c := ready(t, testenv.NATS(t))
			for i := range 300 {
				require.NoError(t, c.pub.Accepted(t.Context(), message(i), true))
			}
			s, err := c.js.Stream(t.Context(), natsq.StreamOperations)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			calls := 0
			err = natsq.NewHistory(c.js).Operations(ctx, time.Time{}, 300, func([]operation.Message) error {
				calls++
				return change(s, cancel)
			})
			require.ErrorContains(t, err, want)
			require.Equal(t, 1, calls)
		})
	}
}

func TestHistory_NoStream(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	pass := func([]operation.Message) error { return nil }
	require.Error(t, natsq.NewHistory(c.js).Operations(t.Context(), time.Time{}, 1, pass))
}

// TestHistory_OfAStreamWithoutALeaderIsNotKnown: of the two copies of a stream one is away, and the
// other has lost its files. It says that the stream is empty, and is not believed: that would be
// a new installation, or a loss of all. When the other copy is back, all is known again.
func TestHistory_OfAStreamWithoutALeaderIsNotKnown(t *testing.T) {
	t.Parallel()
	nodes := testenv.NATSCluster(t, 3)
	c := connect(t, nodes[0].URL()+","+nodes[1].URL()+","+nodes[2].URL())
	cfg := small
	cfg.Replicas = 2
	require.Eventually(t, func() bool { return natsq.Ensure(t.Context(), c.js, cfg) == nil }, within, every)
	require.Eventually(t, func() bool { return c.pub.Accepted(t.Context(), message(1), true) == nil }, within, every)
	h := natsq.NewHistory(c.js)
	known, _, _, err := h.Losses(t.Context(), nil)
	require.NoError(t, err)
	s, err := c.js.Stream(t.Context(), natsq.StreamOperations)
	require.NoError(t, err)

	copies := slices.DeleteFunc(slices.Clone(nodes), func(n *testenv.NATSProcess) bool {
		of := s.CachedInfo().Cluster
		return n.Name() != of.Leader && n.Name() != of.Replicas[0].Name
	})
	require.Len(t, copies, 2)
	away, empty := copies[0], copies[1]
	away.Kill()
	empty.Kill()
	forgetStreams(t, empty.Dir())
	require.NoError(t, empty.Restart())
	// What the copy says, as NATS's own client takes it.
	var said *jetstream.StreamInfo
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, err := c.js.Stream(ctx, natsq.StreamOperations)
		if err == nil {
			said = s.CachedInfo()
		}
		return err == nil
	}, 2*within, every)
	require.Empty(t, said.Cluster.Leader)
	require.Zero(t, said.State.LastSeq)
	_, _, err = h.Ends(t.Context())
	require.ErrorContains(t, err, "it has no leader")
	_, lost, _, err := h.Losses(t.Context(), known)
	require.ErrorContains(t, err, "it has no leader")
	require.Nil(t, lost)

	require.NoError(t, away.Restart())
	last := uint64(0)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err, err2 error
		last, _, err = h.Ends(ctx)
		_, lost, _, err2 = h.Losses(ctx, known)
		return err == nil && err2 == nil
	}, 2*within, every)
	require.EqualValues(t, 1, last)
	require.Nil(t, lost)
}

// forgetStreams removes the files of all streams of a server of a cluster. It still knows which
// there are, or the server that is left could not decide anything.
func forgetStreams(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "jetstream", "$SYS", "_js_", "[SC]-*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range append(files, filepath.Join(dir, "jetstream", "$G")) {
		require.NoError(t, os.RemoveAll(name))
	}
}
