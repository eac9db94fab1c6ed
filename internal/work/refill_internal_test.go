package work

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a killed refill had noted stays lost, also when less is found to be lost by now.
func TestEarlier(t *testing.T) {
	t.Parallel()
	first := time.UnixMicro(1_000_000)
	second := first.Add(time.Microsecond)
	for _, tc := range []struct {
		since *time.Time
		noted string
		want  *time.Time
	}{
		{nil, "", nil},
		{&first, "", &first},
		{nil, note(&first), &first},
		{&second, note(&first), &first},
		{&first, note(&second), &first},
	} {
		require.Equal(t, tc.want, earlier(tc.since, tc.noted))
	}
}
