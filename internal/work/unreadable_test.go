package work_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// spoil makes the record of an operation one that nobody can read.
func (r *rig) spoil(id uuid.UUID) (key string) {
	r.t.Helper()
	key = fmt.Sprintf("wb:{%02d}:op:%s", operation.ShardOf(r.conn), id)
	require.NoError(r.t, r.rdb.HSet(r.t.Context(), key, "doc", "\xff").Err())
	return key
}

// givenBack waits until the operation is not being called and waits for long.
func (r *rig) givenBack(key, id string) {
	r.t.Helper()
	ready := fmt.Sprintf("wb:{%02d}:ready:%s", operation.ShardOf(r.conn), r.conn)
	require.Eventually(r.t, func() bool {
		lease, err := r.rdb.HGet(r.t.Context(), key, "lease").Result()
		turn, err2 := r.rdb.ZScore(r.t.Context(), ready, id).Result()
		return err == nil && err2 == nil && lease == "" && time.UnixMilli(int64(turn)).After(time.Now().Add(30*time.Second))
	}, 10*time.Second, 10*time.Millisecond)
	rows, err := r.rdb.HExists(r.t.Context(), key, "rows").Result()
	require.NoError(r.t, err)
	require.False(r.t, rows, "it was no attempt")
}

func TestNext_OneUnreadableRecordStopsNoOther(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	var others []uuid.UUID
	bad := r.accept(r.change(uuid.New(), "bad"))
	for range 3 {
		others = append(others, r.accept(r.change(uuid.New(), "good")).ID)
	}
	key := r.spoil(bad.ID)
	r.worker()
	for _, id := range others {
		op := r.ended(id)
		require.Equal(t, operation.Succeeded, op.Status)
		require.Len(t, op.Attempts, 1, "and none stood still for a lease")
	}
	r.givenBack(key, bad.ID.String())
	require.Len(t, r.provider.received(), 3)
}

func TestRecord_WithAnUnreadableHandoverIsRecordedOnce(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	r.cfg.Concurrency, r.cfg.Keep = 1, time.Minute // what follows comes with the record
	first := r.accept(r.change(uuid.New(), "good"))
	bad := r.accept(r.change(uuid.New(), "bad"))
	last := r.accept(r.change(uuid.New(), "good"))
	key := r.spoil(bad.ID)
	r.worker()
	for _, id := range []uuid.UUID{first.ID, last.ID} {
		op := r.ended(id)
		require.Equal(t, operation.Succeeded, op.Status)
		require.Len(t, op.Attempts, 1)
	}
	r.givenBack(key, bad.ID.String())
}

// A program that starts compares what the streams have with Redis. It must not wait for ever
// because of a record that it cannot read.
func TestVerify_PassesOverAnUnreadableRecord(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	bad := r.accept(r.change(uuid.New(), "bad"))
	r.accept(r.change(uuid.New(), "good"))
	r.spoil(bad.ID)
	require.NoError(t, r.reborn().Verify(t.Context()))
	require.Empty(t, r.missing())
}

// A partner sees its others, whether the one is pending or lies in its page.
func TestReader_LeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	var all []uuid.UUID
	for range 3 {
		all = append(all, r.accept(r.change(uuid.New(), "good")).ID)
	}
	stop := r.worker()
	for _, id := range all {
		r.ended(id)
	}
	r.flushed()
	stop()
	paged := all[1]
	page, field := fmt.Sprintf("wb:{%02d}:page:%s", operation.ShardOf(r.conn), paged.String()[24:34]), string(paged[:10])+string(paged[15:])
	require.Eventually(t, func() bool {
		there, err := r.rdb.HExists(t.Context(), page, field).Result()
		return err == nil && there
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, r.rdb.HSet(t.Context(), page, field, "\xff of a later version").Err())
	pending := r.accept(r.change(uuid.New(), "bad")).ID
	r.spoil(pending)
	all = append(all, pending, r.accept(r.change(uuid.New(), "good")).ID)

	reader := work.NewReader(r.store, r.parts.Log)
	q := operation.Query{PartnerID: r.partner, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Limit: 2}
	var got []uuid.UUID
	for more := true; more; {
		var ops []operation.Operation
		var err error
		ops, more, err = reader.List(t.Context(), q)
		require.NoError(t, err)
		for _, op := range ops {
			got = append(got, op.ID)
			q.Position = operation.Position{Seq: op.Seq, ID: op.ID}
		}
	}
	require.Equal(t, []uuid.UUID{all[0], all[2], all[4]}, got)
	_, _, err := r.store.List(t.Context(), operation.Query{PartnerID: r.partner, From: q.From, To: q.To, Limit: 10})
	require.ErrorIs(t, err, redisstore.ErrUnreadable, "who needs all of them is told")

	for _, id := range []uuid.UUID{paged, pending} {
		_, err = reader.Get(t.Context(), r.conn, id)
		var refusal *operation.Error
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, operation.CodeUnavailable, refusal.Code)
		require.Contains(t, refusal.Message, "cannot be read")
		require.Equal(t, time.Minute, refusal.RetryAfter)
		require.ErrorContains(t, refusal.Err, id.String())
	}
	neighbour := uuid.Must(uuid.NewV7())
	for operation.ShardOf(neighbour) != operation.ShardOf(r.conn) {
		neighbour = uuid.New()
	}
	_, err = r.store.Get(t.Context(), neighbour, pending)
	require.ErrorIs(t, err, redisstore.ErrMissing, "of another connection there is none")
}

// The runbook's way to have such a record again.
func TestRestore_BringsBackARecordThatWasTakenOut(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	user := uuid.New()
	first, bad, last := r.accept(r.change(uuid.New(), "1")), r.accept(r.change(user, "2")), r.accept(r.change(user, "3"))
	require.NoError(t, r.rdb.Del(t.Context(), r.spoil(bad.ID)).Err())
	require.NoError(t, r.store.Withdraw(t.Context(), []int{operation.ShardOf(r.conn)}))
	r.worker()
	r.open()
	for _, op := range []operation.Operation{first, bad, last} {
		require.Equal(t, operation.Succeeded, r.ended(op.ID).Status)
	}
	var got []uuid.UUID
	for _, op := range r.all() {
		got = append(got, op.ID)
	}
	require.Equal(t, []uuid.UUID{first.ID, bad.ID, last.ID}, got, "each once")
}

// A row that cannot be read makes its operation one, when its next outcome goes in: that is
// recorded, and neither the slot nor what the lane handed over stands still for it.
func TestRecord_OfAnUnreadableRecordKeepsNoSlot(t *testing.T) {
	t.Parallel()
	failed, spoilt := make(chan struct{}), make(chan struct{})
	r := rigOn(t, &provider{answer: func(_ context.Context, n int, _ tsp.UserUpdate) error {
		switch n {
		case 1:
			return &operation.Failure{Type: operation.ErrorTSP, Retryable: true, StatusCode: 500, Detail: "answered 500"}
		case 2:
			close(failed)
			<-spoilt
		}
		return nil
	}})
	r.cfg.Concurrency, r.cfg.Keep = 1, time.Minute // what follows comes with the record
	bad := r.accept(r.change(uuid.New(), "bad"))
	r.worker()
	<-failed
	key := fmt.Sprintf("wb:{%02d}:op:%s", operation.ShardOf(r.conn), bad.ID)
	require.NoError(t, r.rdb.HSet(t.Context(), key, "r:1", "\xff").Err())
	good := r.accept(r.change(uuid.New(), "good"))
	close(spoilt)
	op := r.ended(good.ID)
	require.Equal(t, operation.Succeeded, op.Status)
	require.Len(t, op.Attempts, 1, "and it did not stand still for a lease")
	st, err := r.rdb.HGet(t.Context(), key, "st").Result()
	require.NoError(t, err)
	require.Equal(t, "success", st)
	require.Len(t, r.provider.received(), 3)
}
