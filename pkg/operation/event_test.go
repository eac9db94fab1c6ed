package operation_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/pkg/operation"
)

func drawID(t *rapid.T, label string) uuid.UUID {
	id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

func TestEventID_Properties(t *testing.T) {
	t.Parallel()
	kinds := []operation.EventKind{operation.EventAttempted, operation.EventSucceeded, operation.EventFailed}
	rapid.Check(t, func(t *rapid.T) {
		op, other := drawID(t, "operation"), drawID(t, "other operation")
		before := op
		seen := map[uuid.UUID]bool{op: true}
		for _, kind := range kinds {
			id := operation.EventID(op, kind)
			require.Equal(t, id, operation.EventID(op, kind), "the same each time")
			require.Equal(t, before, op, "the operation's id is left alone")
			require.Equal(t, uuid.Version(7), id.Version())
			require.Equal(t, uuid.RFC4122, id.Variant())
			require.Equal(t, op[:6], id[:6], "the operation's time")
			require.False(t, seen[id], "%s shares an id", kind)
			seen[id] = true
			if other != op {
				require.NotEqual(t, id, operation.EventID(other, kind))
			}
		}
	})
}

// TestEventID_NeverChanges pins the derivation: subscribers tell repeats by it, so
// a new version must make the ids that the old one made.
func TestEventID_NeverChanges(t *testing.T) {
	t.Parallel()
	op := uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	for kind, want := range map[operation.EventKind]string{
		operation.EventAttempted: "01890a5d-ac96-7144-83fd-fc373fc46034",
		operation.EventSucceeded: "01890a5d-ac96-79eb-825e-ee04efcded4f",
		operation.EventFailed:    "01890a5d-ac96-73f9-a73c-37021125da69",
	} {
		require.Equal(t, want, operation.EventID(op, kind).String(), kind)
	}
}

func TestFinalKind(t *testing.T) {
	t.Parallel()
	require.Equal(t, operation.EventSucceeded, operation.FinalKind(operation.Succeeded))
	require.Equal(t, operation.EventFailed, operation.FinalKind(operation.Failed))
}

func TestCreatedAt_IsTheSeqInMicroseconds(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 6, 7, 891_234_000, time.UTC)
	require.Equal(t, at, operation.Place{Seq: at.UnixMicro()}.CreatedAt())
}

func TestShardOf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "connection"))
		shard := operation.ShardOf(id)
		require.GreaterOrEqual(t, shard, 0)
		require.Less(t, shard, operation.Shards)
		require.Equal(t, shard, operation.ShardOf(id))
	})
}

// TestShardOf_NeverChanges pins the hash: another one would look for all state in
// the wrong place.
func TestShardOf_NeverChanges(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]int{
		"00000000-0000-0000-0000-000000000000": 5,
		"00000000-0000-7000-8000-0000000000c1": 2,
		"01890a5d-ac96-774b-bcce-b302099a8057": 19,
	} {
		require.Equal(t, want, operation.ShardOf(uuid.MustParse(id)), id)
	}
}

// TestShardOf_Spread: 64,000 ids that differ in little, 1,000 a shard on average.
// They are always the same ids, so the counts are too.
func TestShardOf_Spread(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		id   func(i int) uuid.UUID
	}{
		{"counted at the end", func(i int) uuid.UUID {
			return uuid.UUID{6: 0x70, 8: 0x80, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}
		}},
		{"counted in the time", func(i int) uuid.UUID {
			return uuid.UUID{3: byte(i >> 16), 4: byte(i >> 8), 5: byte(i), 6: 0x70, 8: 0x80}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var counts [operation.Shards]int
			for i := range 1000 * operation.Shards {
				counts[operation.ShardOf(tc.id(i))]++
			}
			for shard, n := range counts {
				require.InDelta(t, 1000, n, 300, "shard %d", shard)
			}
		})
	}
}
