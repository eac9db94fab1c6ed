package directory

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/seal"
	"writeback/internal/testenv"
	"writeback/pkg/tsp"
)

const (
	planted = "credentials: {access_token: planted-access, password: planted-password}"
	plant   = "planted-"
)

func keyset(t *testing.T) []byte {
	t.Helper()
	text, err := seal.Generate()
	require.NoError(t, err)
	return text
}

func sealer(t *testing.T, keyset []byte) Sealer {
	t.Helper()
	s, err := seal.New(keyset)
	require.NoError(t, err)
	return s
}

// sealed opens a directory with the keyset; it does not follow the bucket.
func sealed(t *testing.T, url string, s Sealer) *Directory {
	t.Helper()
	d, err := Open(t.Context(), streams(t, url), Config{Sealer: s})
	require.NoError(t, err)
	return d
}

// raw gives every byte of the bucket.
func raw(t *testing.T, d *Directory) string {
	t.Helper()
	s, err := d.js.Stream(t.Context(), "KV_"+Bucket)
	require.NoError(t, err)
	var all []byte
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		if m, err := s.GetMsg(t.Context(), seq); err == nil {
			all = append(all, m.Data...)
		}
	}
	require.NotEmpty(t, all)
	return string(all)
}

func TestSealed_NothingPlantedIsInTheBucket(t *testing.T) {
	t.Parallel()
	url, key := testenv.NATS(t), keyset(t)
	d := sealed(t, url, sealer(t, key))
	load(t, d, one(planted))
	require.NotContains(t, raw(t, d), plant)
	_, err := d.Credentials(t.Context(), id("c1"), stored(d), &tokens{})
	require.NoError(t, err)
	require.NotContains(t, raw(t, d), "new-1", "what is refreshed is sealed too")

	again := sealed(t, url, sealer(t, key))
	require.Equal(t, token("new-1"), stored(again))
	require.Zero(t, load(t, again, one(planted)).Writes(), "the file again writes nothing, however the seal differs")
}

func TestSealed_ClearOnesAreReadAndSealedAtTheNextWrite(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	load(t, sealed(t, url, nil), one(planted))
	d := sealed(t, url, sealer(t, keyset(t)))
	require.Contains(t, raw(t, d), plant)
	require.Equal(t, "planted-access", stored(d)["access_token"])
	require.Zero(t, load(t, d, one(planted)).Writes())
	load(t, d, one("description: x, "+planted))
	require.NotContains(t, raw(t, d), plant)
}

func TestSealed_WithoutTheKeysetTheConnectionIsLocked(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	load(t, sealed(t, url, sealer(t, keyset(t))), one(planted))
	for name, other := range map[string]Sealer{"none": nil, "another": sealer(t, keyset(t))} {
		d := sealed(t, url, other)
		before := raw(t, d)
		c, ok := d.ConnectionByID(id("c1"))
		require.True(t, ok && c.Locked, name)
		require.Empty(t, c.Credentials, name)
		_, err := d.Credentials(t.Context(), c.ID, nil, &tokens{})
		require.ErrorContains(t, err, KeysetVariable, name)
		_, err = d.LoadFile(t.Context(), file(t, one("credentials: {access_token: other}")))
		require.ErrorContains(t, err, KeysetVariable, name)
		_, err = d.Reseal(t.Context())
		require.ErrorContains(t, err, KeysetVariable, name)
		require.Equal(t, before, raw(t, d), name+": nothing is lost")
	}
}

func TestSealed_OpensForNoOtherConnection(t *testing.T) {
	t.Parallel()
	b := box{sealer(t, keyset(t))}
	c := held{Connection: Connection{ID: id("c1"), Credentials: tsp.Credentials{"access_token": "x"}}}
	value, err := b.put(c)
	require.NoError(t, err)
	got := held{Connection: Connection{ID: id("c1")}}
	require.NoError(t, b.get(&got, value))
	require.Equal(t, c.Credentials, got.Credentials)
	moved := held{Connection: Connection{ID: id("c2")}}
	require.NoError(t, b.get(&moved, value))
	require.True(t, moved.Locked)
	require.Empty(t, moved.Credentials)
	kept, err := b.put(moved)
	require.NoError(t, err)
	require.Equal(t, value, kept, "what cannot be opened is not replaced")
	for _, garbage := range []string{`"not base64, hush!"`, `7`, `["hush"]`, `{"current":"hush"}`, ``} {
		err := b.get(&held{}, []byte(garbage))
		require.Error(t, err, garbage)
		require.NotContains(t, err.Error(), "hush")
	}
}

func TestReseal_MovesAllToThePrimaryKey(t *testing.T) {
	t.Parallel()
	url, old := testenv.NATS(t), keyset(t)
	first := sealed(t, url, sealer(t, old))
	_, err := first.LoadFile(t.Context(), sample)
	require.NoError(t, err)
	load(t, sealed(t, url, nil), `partners: [{id: `+demo.String()+`, name: Demo, connections: [{id: `+id("cc").String()+`, provider: samsara, `+planted+`}]}]`)

	added, err := seal.AddKey(old)
	require.NoError(t, err)
	promoted, err := seal.Promote(added)
	require.NoError(t, err)
	d := sealed(t, url, sealer(t, promoted))
	c, _ := d.ConnectionByID(id("c1"))
	require.NotEmpty(t, c.Credentials, "the old key opens")
	all := len(d.All())
	n, err := d.Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, Count{Updated: all}, n)
	require.NotContains(t, raw(t, d), plant)
	n, err = d.Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, Count{Unchanged: all}, n)
	after, _ := sealed(t, url, sealer(t, promoted)).ConnectionByID(id("c1"))
	require.Equal(t, c.Credentials, after.Credentials)
	locked, _ := sealed(t, url, sealer(t, old)).ConnectionByID(id("c1"))
	require.True(t, locked.Locked, "the old key alone opens nothing any more")
}

func TestReseal_GoesWithOtherWrites(t *testing.T) {
	t.Parallel()
	url, s := testenv.NATS(t), sealer(t, keyset(t))
	load(t, sealed(t, url, nil), one(planted))
	d, other := sealed(t, url, s), sealed(t, url, s) // neither follows
	load(t, other, one("description: newer, "+planted))
	n, err := d.Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, Count{Unchanged: 1}, n)
	c, _ := d.ConnectionByID(id("c1"))
	require.Equal(t, "newer", c.Description)
	_, err = sealed(t, url, nil).kv.Get(context.WithoutCancel(t.Context()), connectionKey(id("c1")))
	require.NotErrorIs(t, err, jetstream.ErrKeyNotFound)
}

// TestTally_TellsLockedFromFailed: what we have to mend is told from what a partner has.
func TestTally_TellsLockedFromFailed(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	with := sealed(t, url, sealer(t, keyset(t)))
	require.Empty(t, with.Tally())
	load(t, with, one(planted))
	provider := with.All()[0].Provider
	want := map[string]int{"active": 1, "failed": 0, "cancelled": 0, "paused": 0, "stale": 0, "locked": 0}
	require.Equal(t, map[string]map[string]int{provider: want}, with.Tally())
	want["active"], want["locked"] = 0, 1
	require.Equal(t, map[string]map[string]int{provider: want}, sealed(t, url, nil).Tally())
	_, err := with.change(t.Context(), id("c1"), func(c *held) (bool, error) {
		c.Status = ConnectionFailed
		return true, nil
	})
	require.NoError(t, err)
	want["locked"], want["failed"] = 0, 1
	require.Equal(t, map[string]map[string]int{provider: want}, with.Tally())
	load(t, with, one("status: deleted, "+planted))
	require.Empty(t, with.Tally(), "one that was deleted has none")
}
