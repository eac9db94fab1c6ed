package work

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// A batch wakes a worker for the first operation of a lane that has little outstanding, and for so many lanes only.
func TestWaking_TheFirstOfQuietLanes(t *testing.T) {
	t.Parallel()
	a := &Accepter{cfg: Config{}.withDefaults()}
	in := func(lane uuid.UUID) operation.Operation {
		return operation.Operation{Accepted: operation.Accepted{ID: uuid.New(), ConnectionID: lane}}
	}
	quiet, busy := uuid.New(), uuid.New()
	ops := []operation.Operation{in(busy), in(quiet), in(quiet)}
	outstanding := map[uuid.UUID]int{quiet: a.cfg.QuietBelow - 1, busy: a.cfg.QuietBelow}
	require.Equal(t, map[uuid.UUID]bool{ops[1].ID: true}, a.waking(ops, outstanding))

	var many []operation.Operation
	for range wakesMost + 1 {
		lane := uuid.New()
		outstanding[lane] = 1
		many = append(many, in(lane))
	}
	woken := a.waking(many, outstanding)
	require.Len(t, woken, wakesMost)
	require.NotContains(t, woken, many[wakesMost].ID)
}
