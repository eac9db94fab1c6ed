package natsq

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
)

func TestHistory_LossesSaySinceWhenAStreamLacksWhatItHad(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(testenv.NATS(t), testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"e"}})
	require.NoError(t, err)
	long := time.Now().Add(-time.Hour)
	all := &time.Time{}
	for name, c := range map[string]struct {
		// noted gives what was noted, by what the stream is and when its messages came.
		noted func(o Origin, came []time.Time) string
		purge bool
		want  func(came []time.Time) *time.Time
	}{
		"never seen":           {noted: func(Origin, []time.Time) string { return "" }},
		"not to be understood": {noted: func(Origin, []time.Time) string { return "1 x" }},
		"was empty":            {noted: func(o Origin, _ []time.Time) string { o.Made, o.Last = long, 0; return o.String() }},
		"the same":             {noted: func(o Origin, _ []time.Time) string { return o.String() }},
		"has gone on": {noted: func(o Origin, came []time.Time) string {
			o.Last, o.LastAt = 2, came[1]
			return o.String()
		}},
		"another": {
			noted: func(o Origin, _ []time.Time) string { o.Made = long; return o.String() },
			want:  func([]time.Time) *time.Time { return all },
		},
		"lost its end": {
			noted: func(o Origin, _ []time.Time) string { o.Last, o.LastAt = 10, time.Now(); return o.String() },
			want:  func([]time.Time) *time.Time { return &long },
		},
		"lost its end, and got news in its place": {
			noted: func(o Origin, came []time.Time) string { o.Last, o.LastAt = 4, came[1].Add(1); return o.String() },
			want:  func([]time.Time) *time.Time { return &long },
		},
		"from a backup, and got news": {
			noted: func(o Origin, came []time.Time) string {
				o.Last, o.LastAt, o.Before = 10, came[1].Add(1), time.Now().Add(time.Hour)
				return o.String()
			},
			want: func(came []time.Time) *time.Time { return new(came[1].Add(-lostMargin)) },
		},
		"from a backup in which nothing was": {
			noted: func(o Origin, came []time.Time) string { o.Last, o.LastAt = 10, came[0].Add(-1); return o.String() },
			want:  func([]time.Time) *time.Time { return all },
		},
		"purged": {
			purge: true,
			noted: func(o Origin, _ []time.Time) string { return o.String() },
			want:  func([]time.Time) *time.Time { return all },
		},
		"grew too old": {
			purge: true,
			noted: func(o Origin, _ []time.Time) string { o.LastAt = time.Now().Add(-3 * time.Hour); return o.String() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: nuid(t), Subjects: []string{nuid(t)}, MaxAge: 2 * time.Hour})
			require.NoError(t, err)
			var came []time.Time
			for range 5 {
				ack, err := js.Publish(t.Context(), s.CachedInfo().Config.Subjects[0], nil)
				require.NoError(t, err)
				at, err := cameAt(t.Context(), s, ack.Sequence)
				require.NoError(t, err)
				came = append(came, at)
			}
			if c.purge {
				require.NoError(t, s.Purge(t.Context()))
			}
			info, err := s.Info(t.Context())
			require.NoError(t, err)
			o := Origin{Made: info.Created, Last: info.State.LastSeq, LastAt: came[4], At: time.Now(), Before: long}
			h := &History{js: js, operations: info.Config.Name, events: "EVENTS"}
			_, since, _, err := h.Losses(t.Context(), map[string]string{info.Config.Name: c.noted(o, came)})
			require.NoError(t, err)
			var want *time.Time
			if c.want != nil {
				want = c.want(came)
			}
			if want == nil || since == nil {
				require.Equal(t, want, since)
				return
			}
			require.True(t, want.Equal(*since), "%v, and not %v", since, want)
		})
	}
}

func nuid(t *testing.T) string {
	t.Helper()
	return nats.NewInbox()[len("_INBOX."):]
}

// What the outbox published after an outage is about what happened during it.
func TestOrigin_RemembersATimeFromBeforeAnOutage(t *testing.T) {
	t.Parallel()
	began := time.Unix(1_000_000, 0)
	var o Origin
	look := func(at time.Duration) {
		var known bool
		text := o.next(&jetstream.StreamInfo{Created: began, State: jetstream.StreamState{LastSeq: 1}}, began.Add(at)).String()
		o, known = parseOrigin(text)
		require.True(t, known)
	}
	for at := time.Duration(0); at <= time.Hour; at += 10 * time.Second {
		look(at)
		if at > 2*lostMargin {
			ago := began.Add(at).Sub(o.Before)
			require.True(t, ago >= lostMargin && ago < 2*lostMargin, ago)
		}
	}
	for at := 5 * time.Hour; at < 5*time.Hour+lostMargin; at += 10 * time.Second {
		look(at)
		require.False(t, o.Before.After(began.Add(time.Hour)), "NATS was away since then")
	}
}
