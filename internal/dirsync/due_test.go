package dirsync

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
)

// counted counts the connections that are looked up.
type counted struct {
	*directory.Directory
	lookups int
}

func (c *counted) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	c.lookups++
	return c.Directory.ConnectionByID(id)
}

// A look for what is due happens every few seconds, and connections are many.
func TestDue_LooksUpOnlyWhatIsDue(t *testing.T) {
	t.Parallel()
	r := newRig(t, "fake", newFleet(3), "")
	c := &counted{Directory: r.d}
	r.parts.Directory, r.cfg.Every = c, 0
	due, err := r.syncer().due(t.Context())
	require.NoError(t, err)
	require.Empty(t, due)
	require.Zero(t, c.lookups)
	require.NoError(t, r.parts.Book.Want(t.Context(), conn, time.Now()))
	due, err = r.syncer().due(t.Context())
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, 1, c.lookups)
}

func TestBook_CopiesOnlyWhatChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, "fake", newFleet(3), "")
	same := func(a, b map[uuid.UUID]Progress) bool {
		return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
	}
	all := func() map[uuid.UUID]Progress {
		out, err := r.parts.Book.All(t.Context())
		require.NoError(t, err)
		return out
	}
	require.NoError(t, r.parts.Book.Want(t.Context(), conn, r.now()))
	first := all()
	before := maps.Clone(first)
	require.True(t, same(first, all()))
	require.NoError(t, r.parts.Book.Want(t.Context(), conn, r.now()))
	require.NoError(t, r.parts.Book.Want(t.Context(), uuid.New(), r.now()))
	require.Len(t, all(), 2)
	require.Equal(t, before, first, "what was given away stays")
}
