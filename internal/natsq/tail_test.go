package natsq_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

func everything([]byte) bool { return true }

func TestMoment(t *testing.T) {
	t.Parallel()
	m := natsq.Moment{Operations: 7, Events: 0}
	got, ok := natsq.ParseMoment(m.String())
	require.True(t, ok)
	require.Equal(t, m, got)
	for _, bad := range []string{"", "7", "7-", "-7", "7-0-1", "07-0", "+7-0", "7-0 ", "99999999999999999999-0"} {
		_, ok := natsq.ParseMoment(bad)
		require.False(t, ok, bad)
	}
}

// said is what a tail passed on, in a few words.
type said struct {
	mu  sync.Mutex
	all []natsq.Told
}

func (s *said) add(told natsq.Told) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, told)
}

func (s *said) words() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, told := range s.all {
		what := "nothing"
		if told.Accepted != nil {
			what = "accepted"
		} else if told.Ended != nil {
			what = string(told.Ended.Kind)
		}
		out = append(out, told.At.String()+" "+what)
	}
	return out
}

// fill publishes what two operations make: accepts, an attempt and ends.
func fill(t *testing.T, c client) {
	t.Helper()
	require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventAttempted, 1)))
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventSucceeded, 1)))
	require.NoError(t, c.pub.Accepted(t.Context(), message(3), false))
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, 3)))
}

func TestTail_Past(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	tail := natsq.NewTail(c.js)
	start, err := tail.Now(t.Context())
	require.NoError(t, err)
	require.Zero(t, start)
	fill(t, c)
	now, err := tail.Now(t.Context())
	require.NoError(t, err)
	require.Equal(t, natsq.Moment{Operations: 2, Events: 3}, now)
	past := func(from, to natsq.Moment, wanted func([]byte) bool) []string {
		var s said
		require.NoError(t, tail.Past(t.Context(), from, to, wanted, func(told natsq.Told) error { s.add(told); return nil }))
		return s.words()
	}
	all := []string{"1-0 accepted", "1-2 succeeded", "2-2 accepted", "2-3 failed"}
	require.Equal(t, all, past(start, now, everything), "by time")
	// From the moment of each, the rest.
	for i, words := range all {
		at, ok := natsq.ParseMoment(words[:3])
		require.True(t, ok)
		require.Equal(t, all[i+1:], append([]string{}, past(at, now, everything)...))
	}
	require.Equal(t, all[:2], past(start, natsq.Moment{Operations: 1, Events: 2}, everything))
	require.Empty(t, past(start, natsq.Moment{Operations: 0, Events: 1}, everything))
	require.Empty(t, past(now, now, everything))
	second := []byte(message(3).ID.String())
	require.Equal(t, all[2:], past(start, now, func(data []byte) bool { return bytes.Contains(data, second) }))

	stop := errors.New("enough")
	require.ErrorIs(t, tail.Past(t.Context(), start, now, everything, func(natsq.Told) error { return stop }), stop)
}

func TestTail_PastIsForgotten(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	tail := natsq.NewTail(c.js)
	fill(t, c)
	stream, err := c.js.Stream(t.Context(), natsq.StreamEvents)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeSequence(3)))
	none := func(natsq.Told) error { return nil }
	now := natsq.Moment{Operations: 2, Events: 3}
	require.ErrorIs(t, tail.Past(t.Context(), natsq.Moment{}, now, everything, none), natsq.ErrForgotten)
	require.NoError(t, tail.Past(t.Context(), natsq.Moment{Events: 2}, now, everything, none))
	require.ErrorIs(t, tail.Past(t.Context(), natsq.Moment{Operations: 9}, now, everything, none), natsq.ErrForgotten)
}

func TestTail_Follow(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	tail := natsq.NewTail(c.js)
	fill(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	var s said
	done := make(chan error, 1)
	second := []byte(message(3).ID.String())
	go func() {
		done <- tail.Follow(ctx, natsq.Moment{}, func(data []byte) bool { return bytes.Contains(data, second) }, s.add)
	}()
	require.Eventually(t, func() bool { return len(s.words()) == 4 }, within, every)
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventSucceeded, 3)))
	require.Eventually(t, func() bool { return len(s.words()) == 5 }, within, every)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	words := s.words()
	require.Equal(t, "2-4 succeeded", words[4])
	counts := map[string]int{}
	for _, w := range words {
		counts[w[4:]]++
	}
	require.Equal(t, map[string]int{"accepted": 1, "failed": 1, "succeeded": 1, "nothing": 2}, counts, "what is not wanted moves the moment only")
}

// A reader that goes on behind the end of a stream would hear nothing until it is as long
// as it was.
func TestTail_FollowEndsWhereAStreamWentBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := testenv.StartNATS(t, fmt.Sprintf("jetstream { store_dir: %q }", dir))
	c := ready(t, server.URL())
	fill(t, c)
	file := filepath.Join(dir, "jetstream", "$G", "streams", natsq.StreamEvents, "msgs", "1.blk")
	kept, err := os.Stat(file)
	require.NoError(t, err)
	fill(t, c)
	tail := natsq.NewTail(c.js)
	at, err := tail.Now(t.Context())
	require.NoError(t, err)
	var heard said
	ended := make(chan error, 1)
	go func() { ended <- tail.Follow(t.Context(), at, everything, heard.add) }()
	fill(t, c)
	require.Eventually(t, func() bool { return len(heard.words()) > 0 }, within, every)

	server.Kill()
	select {
	case err := <-ended:
		require.Error(t, err, "what was not heard would be missing")
	case <-time.After(within):
		t.Fatal("it waits for a consumer that is gone")
	}
	require.NoError(t, os.Truncate(file, kept.Size()), "as a loss of power does")
	_ = os.Remove(filepath.Join(filepath.Dir(file), "index.db"))
	require.NoError(t, server.Restart())
	require.Eventually(t, func() bool {
		return errors.Is(tail.Follow(t.Context(), at, everything, heard.add), natsq.ErrForgotten)
	}, within, every, "it reads on behind the end")
}

// A reader who is not told that a message was lost on its way would never be told of it.
func TestTail_FollowEndsWhereAMessageIsLost(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	var heard said
	ended := make(chan error, 1)
	go func() {
		ended <- natsq.NewTail(c.js).Follow(t.Context(), natsq.Moment{}, everything, heard.add)
	}()
	fill(t, c)
	require.Eventually(t, func() bool { return len(heard.words()) == 4 }, within, every)
	s, err := c.js.Stream(t.Context(), natsq.StreamEvents)
	require.NoError(t, err)
	name := <-s.ConsumerNames(t.Context()).Name()
	// The server answers two who ask the same consumer by turns.
	thief, err := c.js.Consumer(t.Context(), natsq.StreamEvents, name)
	require.NoError(t, err)
	stolen, err := thief.Fetch(1, jetstream.FetchMaxWait(within))
	require.NoError(t, err)
	require.NoError(t, c.nc.Flush())
	for {
		select {
		case err := <-ended:
			require.ErrorContains(t, err, "a message was lost on its way")
			require.NotNil(t, <-stolen.Messages())
			return
		default:
			require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, 5)))
		}
	}
}

// Its consumer is kept in the memory of one server, which may end without our connection.
func TestTail_FollowEndsWithItsConsumer(t *testing.T) {
	t.Parallel()
	for _, name := range []string{natsq.StreamOperations, natsq.StreamEvents} {
		c := connect(t, testenv.NATS(t))
		require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
		require.NoError(t, c.js.DeleteConsumer(t.Context(), natsq.StreamOperations, natsq.ConsumerQuiet))
		ended := make(chan error, 1)
		go func() {
			ended <- natsq.NewTail(c.js).Follow(t.Context(), natsq.Moment{}, everything, func(natsq.Told) {})
		}()
		s, err := c.js.Stream(t.Context(), name)
		require.NoError(t, err)
		var consumer string
		require.Eventually(t, func() bool {
			names := s.ConsumerNames(t.Context())
			for consumer = range names.Name() {
			}
			return consumer != ""
		}, within, every)
		require.NoError(t, s.DeleteConsumer(t.Context(), consumer))
		select {
		case err := <-ended:
			require.Error(t, err)
			require.NotErrorIs(t, err, natsq.ErrForgotten, "the streams are as they were")
		case <-time.After(within):
			t.Fatal("it hears nothing any more")
		}
	}
}

// A moment of streams that were longer is none.
func TestTail_FollowsFromNoMomentToCome(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	fill(t, c)
	for _, at := range []natsq.Moment{{Operations: 3, Events: 3}, {Operations: 2, Events: 4}} {
		require.ErrorIs(t, natsq.NewTail(c.js).Follow(t.Context(), at, everything, func(natsq.Told) {}), natsq.ErrForgotten)
	}
}
