package dirsync

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/pkg/tsp"
)

// walk is a walk of the rig's connection that nobody has claimed.
func (r *rig) walk(f *fleet) *walk {
	c, _ := r.d.ConnectionByID(conn)
	return &walk{Syncer: r.syncer(), conn: c, provider: f, lister: f, limits: c.Limits.Over(f.Describe().Limits).WithDefaults()}
}

func (r *rig) claimed(f *fleet) *walk {
	r.t.Helper()
	w := r.walk(f)
	taken, err := w.claim(r.t.Context())
	require.NoError(r.t, err)
	require.True(r.t, taken)
	return w
}

// keep puts progress into the book as it is.
func (r *rig) keep(p Progress) {
	r.t.Helper()
	p.revision = r.progress().revision
	_, err := r.parts.Book.write(r.t.Context(), conn, p)
	require.NoError(r.t, err)
}

// A walk that goes on keeps where it was, and one that is begun anew how often that was in
// vain; neither waits any more.
func TestClaim_KeepsWhatStillCounts(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	run := uuid.New()
	before := Progress{
		Run: run, Cursor: "2", Pages: 1, Seen: 2, StartedAt: r.now().Add(-time.Hour), Again: true, LastError: "broken",
		Failures: 3, GivenUp: 1, ResumeAt: r.now().Add(-time.Second), Told: true,
	}
	r.keep(before)
	p := r.claimed(f).p
	require.Equal(t, [3]any{run, "2", true}, [3]any{p.Run, p.Cursor, p.Again})
	require.Zero(t, p.ResumeAt)
	require.False(t, p.Told)

	old, restart := before, before
	old.StartedAt = r.now().Add(-13 * time.Hour)
	restart.Restart = true
	for name, before := range map[string]Progress{"its cursor is too old": old, "it was given up": restart} {
		r.keep(before)
		p := r.claimed(f).p
		require.NotEqual(t, run, p.Run, name)
		require.Empty(t, p.Cursor, name)
		require.Zero(t, p.Seen, name)
		require.Equal(t, [3]any{3, 1, "broken"}, [3]any{p.Failures, p.GivenUp, p.LastError}, name)
		require.Zero(t, p.ResumeAt, name)
		require.False(t, p.Told, name)
	}
}

// connections is a registry with connections of the partner; each text is the rest of one.
func (r *rig) connections(rest ...string) []uuid.UUID {
	r.t.Helper()
	var ids []uuid.UUID
	var text strings.Builder
	fmt.Fprintf(&text, "partners: [{id: %s, name: P, connections: [", partner)
	for i, c := range rest {
		ids = append(ids, uuid.MustParse(fmt.Sprintf("00000000-0000-7000-8000-0000000001%02d", i)))
		fmt.Fprintf(&text, "{id: %s, credentials: {}, %s},", ids[i], c)
	}
	file := filepath.Join(r.t.TempDir(), "registry.yaml")
	require.NoError(r.t, os.WriteFile(file, []byte(text.String()+"]}]"), 0o600))
	_, err := r.d.LoadFile(r.t.Context(), file)
	require.NoError(r.t, err)
	return ids
}

// mute is a provider that lists nobody.
type mute struct{ tsp.Provider }

// locks cannot open one connection.
type locks struct {
	users
	id uuid.UUID
}

func (l locks) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	c, ok := l.users.ConnectionByID(id)
	c.Locked = c.Locked || id == l.id
	return c, ok
}

// Only what can be listed here is due, and who has waited longest has the first turn.
func TestDue_WhoCanBeListedInTurn(t *testing.T) {
	t.Parallel()
	f := newFleet(4)
	r := newRig(t, "fake", f, "")
	r.cfg.Every = 0
	ids := r.connections("provider: fake", "provider: fake, status: paused", "provider: samsara", "provider: geotab",
		"provider: catena_simulator", "provider: fake", "provider: fake")
	r.parts.Providers = registry{"fake": f, "samsara": mute{}, "catena_simulator": f}
	r.parts.Directory = locks{r.d, ids[5]}
	for i, id := range ids {
		require.NoError(t, r.parts.Book.Want(t.Context(), id, r.now().Add(-time.Duration(i)*time.Minute)))
	}
	due, err := r.syncer().due(t.Context())
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{ids[6], ids[0]}, due)
}

// However much is due, no more is walked at once than there may be.
func TestBegin_NoMoreThanThereMayBe(t *testing.T) {
	t.Parallel()
	f := newFleet(2)
	r := newRig(t, "fake", f, "")
	ids := r.connections("provider: fake", "provider: fake", "provider: fake")
	q := queue{free: 2, running: make(map[uuid.UUID]bool), done: make(chan ended), due: ids}
	r.syncer().begin(context.Background(), &q)
	require.Len(t, q.running, 2)
	require.Zero(t, q.free)
	require.Equal(t, ids[2:], q.due)
	for range 2 {
		require.False(t, (<-q.done).failed)
	}
}
