package natsq_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
)

func TestOrigin_SaysSinceWhenAStreamLacksWhatItHad(t *testing.T) {
	t.Parallel()
	made, noted := time.Unix(1000, 5), time.Unix(500_000, 0)
	known := natsq.Origin{Made: made, Last: 100, At: noted}.String()
	for name, c := range map[string]struct {
		known  string
		now    natsq.Origin
		newest time.Time
		want   *time.Time
	}{
		"never seen":           {"", natsq.Origin{Made: made, Last: 1}, noted, nil},
		"not to be understood": {"1 x", natsq.Origin{Made: made, Last: 1}, noted, nil},
		"was empty":            {natsq.Origin{Made: time.Unix(1, 0), At: noted}.String(), natsq.Origin{Made: made}, noted, nil},
		"the same":             {known, natsq.Origin{Made: made, Last: 100}, noted, nil},
		"has gone on":          {known, natsq.Origin{Made: made, Last: 101}, noted, nil},
		"another":              {known, natsq.Origin{Made: noted, Last: 1000}, noted, &time.Time{}},
		"lost its end":         {known, natsq.Origin{Made: made, Last: 99}, noted.Add(time.Minute), new(noted.Add(-10 * time.Minute))},
		"from a backup":        {known, natsq.Origin{Made: made, Last: 50}, noted.Add(-time.Hour), new(noted.Add(-70 * time.Minute))},
		"emptied by a backup":  {known, natsq.Origin{Made: made}, time.Time{}, new(time.Time{}.Add(-10 * time.Minute))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, c.now.Lost(c.known, c.newest))
		})
	}
}
