package natsq

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSplit_KnowsThePlaces: traces and dead letters go by the place among all that a message has.
func TestSplit_KnowsThePlaces(t *testing.T) {
	t.Parallel()
	decode := func(data []byte) (string, error) {
		if string(data) == "0" {
			return "", ErrNotUnderstood
		}
		return string(data), nil
	}
	parts, odds, err := split(eventsForm, []byte(`{"v":1,"events":[0,1,0,3]}`), decode)
	require.NoError(t, err)
	require.Equal(t, []part[string]{{1, "1"}, {3, "3"}}, parts)
	require.Len(t, odds, 2)
	for i, at := range []int{0, 2} {
		require.Equal(t, at, odds[i].at)
		require.Equal(t, "0", string(odds[i].data))
		require.ErrorIs(t, odds[i].err, ErrNotUnderstood)
	}
}
