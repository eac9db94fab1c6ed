package directory

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/tsp"
)

// later puts a member into an entry, as a newer version may, and waits until the directory has
// read it.
func later(t *testing.T, d *Directory, key string, into ...string) {
	t.Helper()
	entry := members(t, d, key)
	at := entry
	for _, name := range into {
		at = at[name].(map[string]any)
	}
	at["later"] = "kept"
	value, err := json.Marshal(entry)
	require.NoError(t, err)
	revision, err := d.kv.Put(t.Context(), key, value)
	require.NoError(t, err)
	kind, id, err := splitKey(key)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		d.mu.RLock()
		defer d.mu.RUnlock()
		return d.copy.revision(kind, id) == revision
	}, soon, time.Millisecond)
}

// members gives what the bucket has of an entry.
func members(t *testing.T, d *Directory, key string) map[string]any {
	t.Helper()
	e, err := d.kv.Get(t.Context(), key)
	require.NoError(t, err)
	var all map[string]any
	require.NoError(t, json.Unmarshal(e.Value(), &all))
	return all
}

// ofTwoVersions is a registry with one entry of each kind.
func ofTwoVersions(name, source string) string {
	return `partners: [{id: ` + demo.String() + `, name: ` + name + `, fleets: [{id: ` + id("f1").String() + `, ref: f, name: ` + name + `}],
  connections: [{id: ` + id("c1").String() + `, provider: samsara, fleet: f, description: ` + name + `, limits: {in_flight: 2}, credentials: {access_token: a},
  users: [{id: ` + id("a100").String() + `, source_id: ` + source + `, fields: {first_name: File}}]}]}]`
}

// Two versions run side by side: what the newer one has stored is still there after the older
// one has changed the entry.
func TestWrite_KeepsWhatANewerVersionHasStored(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, ofTwoVersions("Old", "x"))
	connection, user := connectionKey(id("c1")), userKey(id("c1"), id("a100"))
	all := []string{partnerKey(demo), fleetKey(id("f1")), connection, user}
	for _, key := range all {
		later(t, d, key)
	}
	later(t, d, connection, "limits")

	refreshed := func(token string) {
		_, err := d.change(t.Context(), id("c1"), func(c *held) (bool, error) {
			c.Credentials = tsp.Credentials{"access_token": token}
			return true, nil
		})
		require.NoError(t, err)
	}
	refreshed("b")
	refreshed("c") // on top of what it wrote itself
	n, err := d.Learn(t.Context(), id("c1"), names("x"))
	require.NoError(t, err)
	require.Equal(t, Count{Updated: 1}, n)
	for _, key := range []string{connection, user} {
		require.Equal(t, "kept", members(t, d, key)["later"], key)
	}

	changed := ofTwoVersions("New", "z")
	require.Equal(t, Report{Partners: Count{Updated: 1}, Fleets: Count{Updated: 1}, Connections: Count{Updated: 1}, Users: Count{Updated: 1}},
		load(t, d, changed))
	for _, key := range all {
		require.Equal(t, "kept", members(t, d, key)["later"], key)
	}
	require.Equal(t, map[string]any{"in_flight": 2.0, "later": "kept"}, members(t, d, connection)["limits"])
	require.Zero(t, load(t, d, changed).Writes())
}

// An entry that was deleted leaves nothing to one that comes under its key later.
func TestWrite_KeepsNothingOfWhatWasDeleted(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, ofTwoVersions("Old", "x"))
	for _, key := range []string{partnerKey(demo), userKey(id("c1"), id("a100"))} {
		later(t, d, key)
		require.NoError(t, d.kv.Delete(t.Context(), key))
	}
	require.Eventually(t, func() bool {
		_, there := d.Partner(demo)
		return !there && d.user(id("a100")) == nil
	}, soon, time.Millisecond)
	load(t, d, ofTwoVersions("Old", "x"))
	for _, key := range []string{partnerKey(demo), userKey(id("c1"), id("a100"))} {
		require.NotContains(t, members(t, d, key), "later")
	}
}

// Of who is gone nothing personal stays, and what a newer version has stored may be that.
func TestWrite_KeepsNothingOfWhoIsGone(t *testing.T) {
	t.Parallel()
	d := open(t, testenv.NATS(t))
	load(t, d, one(named))
	_, err := d.Learn(t.Context(), id("c1"), names("y"))
	require.NoError(t, err)
	file, synced := userKey(id("c1"), id("a100")), userKey(id("c1"), UserID(id("c1"), "y"))
	later(t, d, file)
	later(t, d, synced)
	_, err = d.Retire(t.Context(), id("c1"), time.Now().Add(time.Hour), func(_ context.Context, ids []string) ([]bool, error) {
		knows := make([]bool, len(ids))
		for i, s := range ids {
			knows[i] = s == "x"
		}
		return knows, nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, load(t, d, "prune: true\n"+one(old)).Users.Deleted)
	for _, key := range []string{file, synced} {
		entry := members(t, d, key)
		require.Contains(t, entry, "deleted_at")
		require.NotContains(t, entry, "later")
	}
}
