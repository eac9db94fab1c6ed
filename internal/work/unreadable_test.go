package work_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
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
