package work

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestKnocks_OneForABurst(t *testing.T) {
	t.Parallel()
	var k knocks
	lane, other, now := uuid.New(), uuid.New(), time.Now()
	due := func(lane uuid.UUID, outstanding int, after time.Duration) bool {
		return k.due(lane, outstanding, now.Add(after), 100*time.Millisecond)
	}
	require.True(t, due(lane, 1, 0))
	require.False(t, due(lane, 2, time.Millisecond), "those who look now will see it")
	require.True(t, due(other, 2, time.Millisecond), "each lane has its own")
	require.True(t, due(lane, 1, 2*time.Millisecond), "an empty lane is looked at by nobody")
	require.False(t, due(lane, 3, 101*time.Millisecond))
	require.True(t, due(lane, 3, 102*time.Millisecond))
	for range 2 * mostKnocks {
		due(uuid.New(), 1, 0)
	}
	require.LessOrEqual(t, len(k.last), mostKnocks)
}
