package natsq_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

func messages(n int) (all []operation.Message) {
	for i := range n {
		all = append(all, message(i))
	}
	return all
}

// read gives what the history says of all operations.
func (c client) read(t *testing.T) (all []operation.Message) {
	t.Helper()
	h := natsq.NewHistory(c.js)
	upTo, _, err := h.Ends(t.Context())
	require.NoError(t, err)
	require.NoError(t, h.Operations(t.Context(), time.Time{}, upTo, func(some []operation.Message) error {
		require.LessOrEqual(t, len(some), 256)
		all = append(all, some...)
		return nil
	}))
	return all
}

func TestAcceptedMany_IsOneMessage(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	want := messages(1000)
	n, err := c.pub.AcceptedMany(t.Context(), want)
	require.NoError(t, err)
	require.Equal(t, len(want), n)
	require.EqualValues(t, 1, c.messages(t, natsq.StreamOperations))
	require.Zero(t, c.consumer(t).NumPending, "nobody is woken")
	single := message(2000)
	require.NoError(t, c.pub.Accepted(t.Context(), single, true))
	require.Equal(t, append(want, single), c.read(t))

	n, err = c.pub.AcceptedMany(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

// TestAcceptedMany_IsSplitBySize: no message is larger than the server takes, and what
// is read at a time is bounded.
func TestAcceptedMany_IsSplitBySize(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	want := messages(300)
	for i := range want {
		want[i].Changes = operation.Changes{operation.FieldNotes: operation.Text(strings.Repeat("x", 20_000+i))}
	}
	n, err := c.pub.AcceptedMany(t.Context(), want)
	require.NoError(t, err)
	require.Equal(t, len(want), n)
	stored := c.messages(t, natsq.StreamOperations)
	require.Greater(t, stored, uint64(5))
	require.Less(t, stored, uint64(10))
	require.Equal(t, want, c.read(t))

	tail := natsq.NewTail(c.js)
	now, err := tail.Now(t.Context())
	require.NoError(t, err)
	told := 0
	require.NoError(t, tail.Past(t.Context(), natsq.Moment{}, now, everything, func(natsq.Told) error { told++; return nil }))
	require.Equal(t, len(want), told)
	var s said
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tail.Follow(ctx, natsq.Moment{}, everything, s.add) }()
	require.Eventually(t, func() bool { return len(s.words()) == len(want) }, within, every)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// TestAcceptedMany_HasRoomForTheFrame: two that are together as large as the server takes are not
// one message.
func TestAcceptedMany_HasRoomForTheFrame(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	want := messages(2)
	for i := range want {
		size := int(c.nc.MaxPayload())/2 - len(encode(t, want[i]))
		want[i].Changes[operation.FieldNotes] = operation.Text(strings.Repeat("x", size))
	}
	n, err := c.pub.AcceptedMany(t.Context(), want)
	require.NoError(t, err)
	require.Equal(t, len(want), n)
	require.Equal(t, want, c.read(t))
}

// TestAcceptedMany_SaysHowManyAreThere: one that the server never takes is the end, and what was
// before it need not be published again.
func TestAcceptedMany_SaysHowManyAreThere(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	all := messages(5)
	all[3].Changes = operation.Changes{operation.FieldNotes: operation.Text(strings.Repeat("x", int(c.nc.MaxPayload())))}
	n, err := c.pub.AcceptedMany(t.Context(), all)
	require.ErrorIs(t, err, nats.ErrMaxPayload)
	require.Equal(t, 3, n)
	require.Equal(t, all[:n], c.read(t))
}

func TestAcceptedMany_WithoutAServer(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	c := ready(t, server.URL())
	server.Kill()
	require.Eventually(t, func() bool { return !c.pub.Connected() }, within, every)
	n, err := c.pub.AcceptedMany(t.Context(), messages(3))
	require.ErrorIs(t, err, natsq.ErrAway)
	require.Zero(t, n)
}

func TestDecodeMessages(t *testing.T) {
	t.Parallel()
	one := string(encode(t, message(1)))
	other := message(2)
	other.Version = operation.Version + 1
	newer := string(encode(t, other))
	chance := message(3)
	chance.Changes = operation.Changes{operation.FieldNotes: operation.Text(`"operations":`)}
	for _, row := range []struct {
		name, data string
		want       []operation.Message
		refusal    string
	}{
		{"a single one", one, []operation.Message{message(1)}, ""},
		{"many", `{"v":1,"operations":[` + one + `,` + one + `]}`, []operation.Message{message(1), message(1)}, ""},
		{"of the version before", `{"operations":[` + one + `],"added":1,"v":0}`, []operation.Message{message(1)}, ""},
		{"one of many is newer", `{"v":1,"operations":[` + newer + `,` + one + `,{"changes":7}]}`, []operation.Message{message(1)}, ""},
		{"the key by chance", string(encode(t, chance)), []operation.Message{chance}, ""},
		{"the key as a field of a newer program", one[:len(one)-1] + `,"operations":[]}`, []operation.Message{message(1)}, ""},
		{"newer", `{"v":2,"operations":[` + one + `]}`, nil, "version 2"},
		{"none", `{"v":1,"operations":[]}`, nil, "no operation"},
		{"none understood", `{"v":1,"operations":[` + newer + `]}`, nil, "no operation"},
		{"null", `{"v":1,"operations":null}`, nil, "incomplete"},
		{"not JSON", `{"v":1,"operations":[`, nil, "not understood"},
		{"nothing", ``, nil, "not understood"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := natsq.DecodeMessages([]byte(row.data))
			if row.refusal == "" {
				require.NoError(t, err)
				require.Equal(t, row.want, got)
				return
			}
			require.ErrorIs(t, err, natsq.ErrNotUnderstood)
			require.ErrorContains(t, err, row.refusal)
			require.Empty(t, got)
		})
	}
	_, err := natsq.DecodeMessage([]byte(`{"v":1,"operations":[` + one + `]}`))
	require.ErrorIs(t, err, natsq.ErrNotUnderstood, "a program of before knows that it does not know")
}

// FuzzDecodeMessages: whatever arrives is refused as not understood, or every operation
// in it is complete.
func FuzzDecodeMessages(f *testing.F) {
	one := string(encode(f, message(1)))
	f.Add([]byte(one))
	f.Add([]byte(`{"v":1,"operations":[` + one + `]}`))
	f.Add([]byte(`{"v":1,"operations":[null,7,{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := natsq.DecodeMessages(data)
		if err != nil {
			require.ErrorIs(t, err, natsq.ErrNotUnderstood)
			require.Empty(t, all)
			return
		}
		require.NotEmpty(t, all)
		for _, m := range all {
			_, err := natsq.DecodeMessage(encode(t, m))
			require.NoError(t, err)
		}
	})
}

// TestTail_Batch: all but the last of a batch have the place before it, so that who
// goes on from any of them misses none.
func TestTail_Batch(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	require.NoError(t, c.pub.Accepted(t.Context(), message(9), false))
	_, err := c.pub.AcceptedMany(t.Context(), messages(3))
	require.NoError(t, err)
	want := []string{"1-0 accepted", "1-0 accepted", "1-0 accepted", "2-0 accepted"}
	live := c.requireTold(t, want)
	for i, told := range live.all[1:] {
		require.Equal(t, message(i), *told.Accepted)
	}
}

// TestFeed_TakesBatches: each operation of a batch is taken; if one of them cannot be,
// the batch comes again.
func TestFeed_TakesBatches(t *testing.T) {
	t.Parallel()
	c := readyForWebhooks(t)
	want := messages(100)
	_, err := c.pub.AcceptedMany(t.Context(), want)
	require.NoError(t, err)
	var mu sync.Mutex
	taken, refused := map[uuid.UUID]bool{}, false
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- natsq.NewFeed(c.js, quiet).Run(ctx, func(_ context.Context, m operation.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if m.ID == want[50].ID && !refused {
				refused = true
				return errors.New("not now")
			}
			taken[m.ID] = true
			return nil
		}, func(context.Context, operation.Event) error { return nil })
	}()
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(taken) == len(want) && refused
	}, within, every)
	c.requireTaken(t, natsq.StreamOperations, natsq.ConsumerBatches)
	cancel()
	require.NoError(t, <-done)
}
