package dirsync

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// metered gives waits in turn, then an error if there is one.
type metered struct {
	rates
	waits []time.Duration
	err   error
	spent int
}

func (m *metered) Spend(context.Context, uuid.UUID, redisstore.Limits) (time.Duration, error) {
	m.spent++
	if len(m.waits) == 0 {
		return 0, m.err
	}
	wait := m.waits[0]
	m.waits = m.waits[1:]
	return wait, nil
}

// A short wait for the rate is waited for, also if it comes in pieces; for a longer one, and
// while calls are paused, the walk is put down, and that is nobody's fault.
func TestSpend_WaitsOrPutsTheWalkDown(t *testing.T) {
	t.Parallel()
	const inline = 8 * time.Millisecond
	for name, tc := range map[string]struct {
		rates *metered
		spent int
		down  time.Duration
	}{
		"at once":        {&metered{}, 1, 0},
		"soon":           {&metered{waits: []time.Duration{inline}}, 2, 0},
		"too late":       {&metered{waits: []time.Duration{time.Hour}}, 1, time.Hour},
		"a little late":  {&metered{waits: []time.Duration{inline + 1}}, 1, 2 * inline},
		"late by pieces": {&metered{waits: []time.Duration{5 * time.Millisecond, 5 * time.Millisecond}}, 2, 2 * inline},
		"paused":         {&metered{err: redisstore.ErrPaused}, 1, 2 * inline},
		"being rebuilt":  {&metered{err: redisstore.ErrStale}, 1, 2 * inline},
	} {
		w := &walk{Syncer: &Syncer{parts: Parts{Rates: tc.rates}, cfg: Config{Inline: inline}}}
		err := w.spend(t.Context())
		require.Equal(t, tc.spent, tc.rates.spent, name)
		if tc.down == 0 {
			require.NoError(t, err, name)
			continue
		}
		require.Equal(t, &aside{wait: tc.down}, err, name)
	}
}

// over is a provider whose token of the registry file is over.
type over struct{ *fleet }

func (over) Fresh(c tsp.Credentials, _ time.Time) bool {
	return strings.HasPrefix(c["access_token"], "new-")
}

// A credential that is over is renewed before a call is spent on it, and once for all pages.
func TestWalk_RenewsWhatIsOver(t *testing.T) {
	t.Parallel()
	p := over{newFleet(4)}
	r := newRig(t, "fake", p, "")
	w := r.claimed(p.fleet)
	w.provider = p
	require.NoError(t, w.run(t.Context()))
	require.EqualValues(t, 1, p.token.Load())
	require.Equal(t, []string{"", "2"}, p.pages())
	c, _ := r.d.ConnectionByID(conn)
	require.Equal(t, "new-1", c.Credentials["access_token"])
}

// A connection that is stopped while it is walked is asked for nothing more.
func TestWalk_EndsWhenTheConnectionDoes(t *testing.T) {
	t.Parallel()
	f := newFleet(6)
	r := newRig(t, "fake", f, "")
	f.set(func(call int) error {
		if call != 2 {
			return nil
		}
		text := "partners: [{id: " + partner.String() + ", name: P, connections: [{id: " + conn.String() +
			", provider: fake, status: paused, credentials: {access_token: sandbox-samsara-c1}}]}]"
		file := filepath.Join(t.TempDir(), "registry.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		_, err := r.d.LoadFile(context.Background(), file)
		return err
	})
	stop := r.run(r.syncer())
	r.until(func() bool { return r.progress().LastError != "" })
	stop()
	require.Contains(t, r.progress().LastError, "not active")
	require.Equal(t, []string{"", "2"}, f.pages())
}

func TestWalk_PanicOfAnAdapterFailsItsPage(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	f.set(func(call int) error {
		if call == 2 {
			panic("planted-user-name")
		}
		return nil
	})
	stop := r.run(r.syncer())
	r.until(func() bool { return r.progress().Failures == 1 })
	p := r.progress()
	require.Equal(t, "failing", p.State(r.now()))
	require.False(t, strings.Contains(p.LastError, "planted"), "it may quote what a user is called")
	r.advance(3 * time.Hour)
	r.until(func() bool { return r.finished(uuid.Nil) })
	stop()
	require.Equal(t, []string{"", "2", "2"}, f.pages(), "it goes on at that page")
}
