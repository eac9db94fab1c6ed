package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/internal/dirsync"
)

const plantedToken = "planted-token"

// registered loads a registry with a connection that can be listed, one that is
// paused, and one of the simulator, and gives their ids.
func (d *desk) registered() (listable, paused, simulated uuid.UUID) {
	d.t.Helper()
	listable, paused, simulated = uuid.New(), uuid.New(), uuid.New()
	file := filepath.Join(d.t.TempDir(), "registry.yaml")
	text := fmt.Sprintf(`partners: [{id: %s, name: P, connections: [
  {id: %s, provider: samsara, credentials: {access_token: %s}}, {id: %s, provider: motive, status: paused, credentials: {}},
  {id: %s, provider: catena_simulator, credentials: {}}]}]`, uuid.New(), listable, plantedToken, paused, simulated)
	require.NoError(d.t, os.WriteFile(file, []byte(text), 0o600))
	d.ctl(0, "connection", "import", file)
	return listable, paused, simulated
}

func TestSync_StartAndShow(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	listable, paused, simulated := d.registered()
	shown := asJSON[[]syncView](d, "users", "status")
	require.Len(t, shown, 1, "only what can be listed")
	require.Equal(t, "never", shown[0].State)

	_, e := d.ctl(1, "users", "sync", paused.String())
	require.Contains(t, e, "paused")
	_, e = d.ctl(1, "users", "sync", simulated.String())
	require.Contains(t, e, "cannot be listed")
	d.ctl(1, "users", "sync", uuid.NewString())
	d.ctl(2, "users", "sync")
	d.ctl(2, "users", "sync", "--all", listable.String())
	d.ctl(2, "users", "status", listable.String(), paused.String())

	for _, args := range [][]string{{"users", "sync", listable.String(), "--no-wait"}, {"users", "sync", "--all", "--no-wait"}} {
		before := time.Now()
		out, _ := d.ctl(0, args...)
		require.Regexp(t, listable.String()+` +samsara +waiting`, out)
		v := asJSON[[]syncView](d, "users", "status", listable.String())[0]
		require.Equal(t, "waiting", v.State)
		require.WithinRange(t, *v.WantedAt, before, time.Now())
	}
	book, err := dirsync.OpenBook(t.Context(), d.js, 1, nil)
	require.NoError(t, err)
	p, err := book.Get(t.Context(), listable)
	require.NoError(t, err)
	require.True(t, p.Asked())
}

// Nobody is missed while an earlier walk goes on, or waits as its provider asked.
func TestSync_Attended(t *testing.T) {
	t.Parallel()
	now := time.Now()
	asked := now.Add(-time.Minute)
	for name, tc := range map[string]struct {
		p    dirsync.Progress
		want bool
	}{
		"nobody":                     {dirsync.Progress{WantedAt: asked}, false},
		"taken up":                   {dirsync.Progress{WantedAt: asked, AnsweredAt: asked}, true},
		"an earlier walk":            {dirsync.Progress{AnsweredAt: asked.Add(-1), LeaseUntil: now.Add(1)}, true},
		"whose worker died":          {dirsync.Progress{AnsweredAt: asked.Add(-1), LeaseUntil: now.Add(-1)}, false},
		"told to wait":               {dirsync.Progress{Told: true, ResumeAt: now.Add(1)}, true},
		"nobody after that":          {dirsync.Progress{Told: true, ResumeAt: now.Add(-1)}, false},
		"a pause, which an ask ends": {dirsync.Progress{ResumeAt: now.Add(1)}, false},
	} {
		require.Equal(t, tc.want, attended(tc.p, asked, now), name)
	}
}

// TestKeyset_IsReadByWhoReadIt: programs that may not read the new file do not start with it.
func TestKeyset_IsReadByWhoReadIt(t *testing.T) {
	t.Parallel()
	d := &desk{t: t}
	keyset := filepath.Join(t.TempDir(), "keyset.json")
	d.ctl(0, "keyset", "create", keyset)
	require.NoError(t, os.Chmod(keyset, 0o640))
	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(keyset, 65532, 65533))
	}
	before, err := os.Stat(keyset)
	require.NoError(t, err)
	d.ctl(0, "keyset", "add", keyset)
	after, err := os.Stat(keyset)
	require.NoError(t, err)
	require.False(t, os.SameFile(before, after), "in one step")
	require.Equal(t, before.Mode(), after.Mode())
	owner := func(i os.FileInfo) any { // of Unix
		v := reflect.Indirect(reflect.ValueOf(i.Sys()))
		return []any{v.FieldByName("Uid").Interface(), v.FieldByName("Gid").Interface()}
	}
	require.Equal(t, owner(before), owner(after))
	left, err := os.ReadDir(filepath.Dir(keyset))
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestCredentials_RotateAndActivate(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	listable, paused, _ := d.registered()
	_, e := d.ctl(1, "connection", "rotate-key")
	require.Contains(t, e, "WRITEBACK_KEYSET_FILE")
	keyset := filepath.Join(t.TempDir(), "keyset.json")
	d.ctl(0, "keyset", "create", keyset)
	d.ctl(1, "keyset", "create", keyset)
	info, err := os.Stat(keyset)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode(), "nobody else may read it")
	clear := d.environ
	d.environ = append(d.environ, "WRITEBACK_KEYSET_FILE="+keyset)
	require.Equal(t, map[string]sealedView{"credentials": {3, 0}, "webhooks": {}}, asJSON[map[string]sealedView](d, "connection", "rotate-key"))
	kv, err := d.js.KeyValue(t.Context(), directory.Bucket)
	require.NoError(t, err)
	entry, err := kv.Get(t.Context(), "connection."+listable.String())
	require.NoError(t, err)
	require.NotContains(t, string(entry.Value()), plantedToken)

	d.ctl(0, "keyset", "add", keyset)
	_, e = d.ctl(1, "keyset", "remove", keyset)
	require.Contains(t, e, "promote it first")
	require.Equal(t, map[string]sealedView{"credentials": {0, 3}, "webhooks": {}}, asJSON[map[string]sealedView](d, "connection", "rotate-key"))
	d.ctl(0, "keyset", "promote", keyset)
	require.Equal(t, map[string]sealedView{"credentials": {3, 0}, "webhooks": {}}, asJSON[map[string]sealedView](d, "connection", "rotate-key"))

	d.ctl(0, "keyset", "remove", keyset)
	v := asJSON[map[string]any](d, "connection", "show", listable.String())
	require.Equal(t, false, v["locked"])
	_, e = d.ctl(1, "connection", "activate", listable.String())
	require.Contains(t, e, "not failed")
	d.ctl(1, "connection", "activate", paused.String())
	_, e = d.ctl(1, "connection", "show", uuid.NewString())
	require.Contains(t, e, "there is no such connection; see: writeback connection list")
	d.environ = clear
	v = asJSON[map[string]any](d, "connection", "show", listable.String())
	require.Equal(t, true, v["locked"])
	_, e = d.ctl(1, "connection", "rotate-key")
	require.Contains(t, e, "WRITEBACK_KEYSET_FILE")
}
