package work_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/operation"
)

func (r *rig) refiller() *work.Refiller {
	partners := func() []uuid.UUID { return []uuid.UUID{uuid.New(), r.partner} }
	return work.NewRefiller(r.store, natsq.NewHistory(r.js), r.pub, partners, r.parts.Log)
}

// loses deletes a stream and makes it anew.
func (r *rig) loses(streams ...string) {
	r.t.Helper()
	for _, name := range streams {
		require.NoError(r.t, r.js.DeleteStream(r.t.Context(), name))
	}
	require.NoError(r.t, natsq.Ensure(r.t.Context(), r.js, natsq.Config{OperationsMaxBytes: 64 << 20, EventsMaxBytes: 64 << 20}))
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
			before := r.inStream(natsq.StreamOperations) + r.inStream(natsq.StreamEvents)
			require.NoError(t, r.refiller().Check(t.Context()))
			require.Equal(t, before, r.inStream(natsq.StreamOperations)+r.inStream(natsq.StreamEvents), "nothing was lost")

			r.loses(streams...)
			require.NoError(t, r.refiller().Check(t.Context()))
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

// A stream that came back with less than it had, as after a loss of power or from a backup.
func TestRefill_NoticesAStreamThatWentBack(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	op := r.accept(r.change(uuid.New(), "x"))
	r.flushed()
	require.NoError(t, r.refiller().Check(t.Context()))
	s, err := r.js.Stream(t.Context(), natsq.StreamOperations)
	require.NoError(t, err)
	info := s.CachedInfo()
	require.NoError(t, r.store.NoteStreams(t.Context(), map[string]string{
		natsq.StreamOperations: natsq.Origin{Made: info.Created, Last: info.State.LastSeq + 1, At: time.Now()}.String(),
	}))
	require.NoError(t, r.refiller().Check(t.Context()))
	msg, err := s.GetLastMsgForSubject(t.Context(), natsq.SubjectAgain)
	require.NoError(t, err)
	all, err := natsq.DecodeMessages(msg.Data)
	require.NoError(t, err)
	require.Equal(t, op.ID, all[0].ID)
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
