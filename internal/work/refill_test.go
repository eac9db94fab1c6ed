package work_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

func (r *rig) partners() []uuid.UUID { return []uuid.UUID{uuid.New(), r.partner} }

func (r *rig) refiller() *work.Refiller {
	return work.NewRefiller(r.store, natsq.NewHistory(r.js), r.pub, r.partners, r.parts.Log)
}

// loses deletes a stream and makes it anew.
func (r *rig) loses(streams ...string) {
	r.t.Helper()
	for _, name := range streams {
		require.NoError(r.t, r.js.DeleteStream(r.t.Context(), name))
	}
	require.NoError(r.t, natsq.Ensure(r.t.Context(), r.js, natsq.Config{OperationsMaxBytes: 64 << 20, EventsMaxBytes: 64 << 20}))
}

// end gives the final event of an operation.
func (r *rig) end(id uuid.UUID) operation.Event {
	r.t.Helper()
	events := slices.DeleteFunc(r.events(), func(e operation.Event) bool {
		return e.Operation.ID != id || e.Kind == operation.EventAttempted
	})
	require.Len(r.t, events, 1)
	return events[0]
}

// acceptedInStream names the operations of which the stream has a message.
func (r *rig) acceptedInStream() (ids []uuid.UUID) {
	r.t.Helper()
	history := natsq.NewHistory(r.js)
	upTo, _, err := history.Ends(r.t.Context())
	require.NoError(r.t, err)
	require.NoError(r.t, history.Operations(r.t.Context(), time.Time{}, upTo, func(all []operation.Message) error {
		for _, m := range all {
			ids = append(ids, m.ID)
		}
		return nil
	}))
	return ids
}

func (r *rig) inStream(name string) uint64 {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), name)
	require.NoError(r.t, err)
	return s.CachedInfo().State.Msgs
}

// A stream is lost while programs run, and Redis some time later: what was answered is
// known all the same, and what had ended does not go out again.
func TestRefill_WhatAStreamLostOutlivesRedisToo(t *testing.T) {
	t.Parallel()
	for name, streams := range map[string][]string{
		"both":       {natsq.StreamOperations, natsq.StreamEvents},
		"operations": {natsq.StreamOperations},
		"events":     {natsq.StreamEvents},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, failing())
			stop := r.worker()
			ended := r.ended(r.accept(r.change(uuid.New(), "fine")).ID)
			user := uuid.New()
			retried, behind := r.accept(r.change(user, "fail")), r.accept(r.change(user, "behind it"))
			require.Eventually(t, func() bool { return r.rows(retried.ID) >= 2 }, 20*time.Second, 5*time.Millisecond)
			r.flushed()
			stop()
			calls := len(r.provider.received())
			operations, events, end := r.inStream(natsq.StreamOperations), r.inStream(natsq.StreamEvents), r.end(ended.ID)
			require.NoError(t, r.refiller().Check(t.Context()))
			require.Equal(t, operations+events, r.inStream(natsq.StreamOperations)+r.inStream(natsq.StreamEvents), "nothing was lost")

			r.loses(streams...)
			require.NoError(t, r.refiller().Check(t.Context()))
			if slices.Contains(streams, natsq.StreamOperations) {
				require.ElementsMatch(t, []uuid.UUID{retried.ID, behind.ID}, r.acceptedInStream(), "what has ended needs no message")
			} else {
				require.Equal(t, operations, r.inStream(natsq.StreamOperations), "it was not lost")
			}
			if !slices.Contains(streams, natsq.StreamEvents) {
				require.Equal(t, events, r.inStream(natsq.StreamEvents), "it was not lost")
			}
			require.Equal(t, end, r.end(ended.ID), "the event is what it was")
			filled := r.inStream(natsq.StreamOperations) + r.inStream(natsq.StreamEvents)
			require.NoError(t, r.refiller().Check(t.Context()))
			require.Equal(t, filled, r.inStream(natsq.StreamOperations)+r.inStream(natsq.StreamEvents), "once is enough")

			require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
			r.worker()
			r.open()
			require.Equal(t, operation.Succeeded, r.ended(ended.ID).Status)
			for _, id := range []uuid.UUID{retried.ID, behind.ID} {
				op, err := r.store.Get(t.Context(), r.conn, id)
				require.NoError(t, err)
				require.Equal(t, operation.Pending, op.Status)
			}
			require.GreaterOrEqual(t, r.rows(retried.ID), 2)
			require.Eventually(t, func() bool { return len(r.provider.received()) > calls }, 20*time.Second, 5*time.Millisecond)
			for _, c := range r.provider.received()[calls:] {
				require.Equal(t, retried.ID, c.OperationID, "nothing else is called")
			}
		})
	}
}

// cutting is a rig whose streams can lose what NATS had not brought to the disk.
type cutting struct {
	*rig
	nats *testenv.NATSProcess
	dir  string
}

func cuttingRig(t *testing.T, p *provider) cutting {
	t.Helper()
	dir := t.TempDir()
	n := testenv.StartNATS(t, fmt.Sprintf("jetstream { store_dir: %q }", dir))
	return cutting{newRig(t, n.URL(), testenv.Redis(t), p), n, dir}
}

// cut takes the end of each stream away, as a loss of power does: what a server had
// confirmed and not yet synced.
func (c cutting) cut(keep map[string]int64, streams ...string) {
	c.t.Helper()
	c.nats.Kill()
	for _, name := range streams {
		msgs := filepath.Join(c.dir, "jetstream", "$G", "streams", name, "msgs")
		require.NoError(c.t, os.Truncate(filepath.Join(msgs, "1.blk"), keep[name]))
		_ = os.Remove(filepath.Join(msgs, "index.db"))
	}
	require.NoError(c.t, c.nats.Restart())
	require.Eventually(c.t, c.nc.IsConnected, 20*time.Second, 10*time.Millisecond)
}

// sizes says how long the streams' files are.
func (c cutting) sizes() map[string]int64 {
	c.t.Helper()
	sizes := map[string]int64{}
	for _, name := range []string{natsq.StreamOperations, natsq.StreamEvents} {
		info, err := os.Stat(filepath.Join(c.dir, "jetstream", "$G", "streams", name, "msgs", "1.blk"))
		if err == nil {
			sizes[name] = info.Size()
		}
	}
	return sizes
}

// A loss of power takes the end of both streams. Before anybody looks they have got more
// than they had. Redis is lost after that: what was answered ends, what had ended does not
// go out again.
func TestRefill_NoticesALostEndBehindNews(t *testing.T) {
	t.Parallel()
	p := failing()
	c := cuttingRig(t, p)
	r := c.rig
	stop := r.worker()
	r.ended(r.accept(r.change(uuid.New(), "of before")).ID)
	r.flushed()
	kept := c.sizes()
	ended := r.ended(r.accept(r.change(uuid.New(), "fine")).ID)
	waits := r.accept(r.change(uuid.New(), "fail"))
	require.Eventually(t, func() bool { return r.rows(waits.ID) >= 2 }, 20*time.Second, 5*time.Millisecond)
	r.flushed()
	stop()
	require.NoError(t, r.refiller().Check(t.Context()))
	had := r.inStream(natsq.StreamOperations)

	c.cut(kept, natsq.StreamOperations, natsq.StreamEvents)
	require.Less(t, r.inStream(natsq.StreamOperations), had, "the end is lost")
	for r.inStream(natsq.StreamOperations) <= had {
		r.accept(r.change(uuid.New(), "fail"))
	}
	for r.inStream(natsq.StreamEvents) <= 10 { // events of nobody
		require.NoError(t, r.pub.Event(t.Context(), operation.Event{
			Version: operation.Version, Kind: operation.EventAttempted,
			Operation: operation.Operation{Accepted: r.change(uuid.New(), "x"), Place: operation.Place{Seq: 1}},
		}))
	}
	require.NoError(t, r.refiller().Check(t.Context()))

	calls := len(p.received())
	require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
	r.worker()
	r.open()
	require.Equal(t, operation.Succeeded, r.ended(ended.ID).Status)
	op, err := r.store.Get(t.Context(), r.conn, waits.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Pending, op.Status)
	require.Eventually(t, func() bool { return len(p.received()) > calls }, 20*time.Second, 5*time.Millisecond)
	for _, call := range p.received()[calls:] {
		require.NotEqual(t, ended.ID, call.OperationID, "it had ended")
	}
}

// What was purged is as lost as what was deleted.
func TestRefill_NoticesAPurge(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	op := r.accept(r.change(uuid.New(), "x"))
	r.flushed()
	require.NoError(t, r.refiller().Check(t.Context()))
	s, err := r.js.Stream(t.Context(), natsq.StreamOperations)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context()))
	require.NoError(t, r.refiller().Check(t.Context()))
	require.Equal(t, op.ID, r.again(s)[0].ID)
	require.NoError(t, r.refiller().Check(t.Context()))
	require.EqualValues(t, 1, r.inStream(natsq.StreamOperations), "once is enough")
}

// again gives what the newest message says that was published again.
func (r *rig) again(s jetstream.Stream) []operation.Message {
	r.t.Helper()
	msg, err := s.GetLastMsgForSubject(r.t.Context(), natsq.SubjectAgain)
	require.NoError(r.t, err)
	all, err := natsq.DecodeMessages(msg.Data)
	require.NoError(r.t, err)
	return all
}

// dying publishes so many operations again, and no more.
type dying struct {
	*natsq.Publisher
	left atomic.Int32
}

func (d *dying) AcceptedAgain(ctx context.Context, m operation.Message) error {
	if d.left.Add(-1) < 0 {
		return errors.New("killed")
	}
	return d.Publisher.AcceptedAgain(ctx, m)
}

// What a refill publishes makes the stream longer than it was noted to be. Whoever comes
// after one that was killed must not take it for whole.
func TestRefill_IsFinishedByAnother(t *testing.T) {
	t.Parallel()
	c := cuttingRig(t, &provider{})
	r := c.rig
	r.accept(r.change(uuid.New(), "of before"))
	kept := c.sizes()
	ids := map[uuid.UUID]bool{}
	for range 3 {
		ids[r.accept(r.change(uuid.New(), "x")).ID] = true
	}
	r.flushed()
	require.NoError(t, r.refiller().Check(t.Context()))
	c.cut(kept, natsq.StreamOperations)
	s, err := r.js.Stream(t.Context(), natsq.StreamOperations)
	require.NoError(t, err)
	killed := &dying{Publisher: r.pub}
	killed.left.Store(2)
	require.Error(t, work.NewRefiller(r.store, natsq.NewHistory(r.js), killed, r.partners, r.parts.Log).Check(t.Context()))
	for r.inStream(natsq.StreamOperations) <= 4 { // as many as it had
		r.accept(r.change(uuid.New(), "x"))
	}
	require.NoError(t, r.refiller().Check(t.Context()))
	require.NoError(t, natsq.NewHistory(r.js).Operations(t.Context(), time.Time{}, s.CachedInfo().State.LastSeq+100, func(all []operation.Message) error {
		for _, m := range all {
			delete(ids, m.ID)
		}
		return nil
	}))
	require.Empty(t, ids, "all are in the stream again")
}

func TestRefill_OneOfAllDoesIt(t *testing.T) {
	t.Parallel()
	const many = 300 // they are more than a page
	r := rigOn(t, &provider{})
	for range many {
		r.accept(r.change(uuid.New(), "x"))
	}
	require.NoError(t, r.refiller().Check(t.Context()))
	r.loses(natsq.StreamOperations)
	var g errgroup.Group
	counts := make([]atomic.Int32, 4)
	for i := range counts {
		g.Go(func() error {
			store := redisstore.New(r.rdb, redisstore.Config{})
			if _, err := store.Poll(t.Context(), 0); err != nil {
				return err
			}
			counted := &counting{Publisher: r.pub, n: &counts[i]}
			return work.NewRefiller(store, natsq.NewHistory(r.js), counted, r.partners, r.parts.Log).Check(t.Context())
		})
	}
	require.NoError(t, g.Wait())
	all := int32(0)
	for i := range counts {
		all += counts[i].Load()
	}
	require.EqualValues(t, many, all)
	require.Len(t, r.acceptedInStream(), many)
}

// counting counts what is published again.
type counting struct {
	*natsq.Publisher
	n *atomic.Int32
}

func (c *counting) AcceptedAgain(ctx context.Context, m operation.Message) error {
	c.n.Add(1)
	return c.Publisher.AcceptedAgain(ctx, m)
}

func TestRefill_PassesOverAnUnreadableRecord(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	bad, good := r.accept(r.change(uuid.New(), "bad")), r.accept(r.change(uuid.New(), "good"))
	r.flushed()
	require.NoError(t, r.refiller().Check(t.Context()))
	r.spoil(bad.ID)
	lane := fmt.Sprintf("wb:{%02d}:lane:%s", operation.ShardOf(r.conn), r.conn)
	require.NoError(t, r.rdb.Del(t.Context(), lane).Err(), "as after a rebuild, until the next look")
	r.loses(natsq.StreamOperations)
	require.NoError(t, r.refiller().Check(t.Context()))
	s, err := r.js.Stream(t.Context(), natsq.StreamOperations)
	require.NoError(t, err)
	require.Equal(t, good.ID, r.again(s)[0].ID)
}

func TestRefill_OfNobodyIsNone(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	r.accept(r.change(uuid.New(), "x"))
	require.NoError(t, r.refiller().Check(t.Context()))
	r.loses(natsq.StreamOperations)
	empty := work.NewRefiller(r.store, natsq.NewHistory(r.js), r.pub, func() []uuid.UUID { return nil }, r.parts.Log)
	require.Error(t, empty.Check(t.Context()), "a directory that is gone too does not say that there is nothing")
	require.NoError(t, r.refiller().Check(t.Context()))
	require.EqualValues(t, 1, r.inStream(natsq.StreamOperations))
}
