package directory

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
)

// A bucket that was made anew may hold more by the time that it is looked at than the one before.
func TestFrom_AnotherBucketIsReadFromItsStart(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	load(t, open(t, url), one(old))
	d := sealed(t, url, nil) // it does not follow
	info, err := natsq.BucketInfo(t.Context(), d.js, Bucket)
	require.NoError(t, err)
	require.Equal(t, info.State.LastSeq, d.from(info))
	info.State.LastSeq++
	require.Equal(t, info.State.LastSeq-1, d.from(info))
	lost := func() bool { c, ok := d.ConnectionByID(id("c1")); return ok && c.Revision == 0 }
	require.False(t, lost())
	back := *info
	back.State.LastSeq = 1 // from an older copy of its disk
	for _, now := range []func(){func() { *info = back }, func() { info.State.LastSeq, info.Created = 1000, info.Created.Add(time.Second) }} {
		d = sealed(t, url, nil)
		now()
		require.Zero(t, d.from(info))
		require.True(t, lost(), "whatever it holds replaces what was known")
	}
}

// A tool that looks makes no bucket: an empty one would stand in the way of a backup.
func TestOpen_ExistingMakesNone(t *testing.T) {
	t.Parallel()
	js := streams(t, testenv.NATS(t))
	for range 2 {
		_, err := Open(t.Context(), js, Config{Existing: true})
		require.ErrorIs(t, err, ErrNone)
	}
}

// A tool whose settings are not those of the programs changes nothing of the bucket.
func TestOpen_AsItIsLeavesItAlone(t *testing.T) {
	t.Parallel()
	js := streams(t, testenv.NATS(t))
	_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: Bucket, Description: "theirs"})
	require.NoError(t, err)
	for _, asItIs := range []bool{true, false} {
		_, err = Open(t.Context(), js, Config{AsItIs: asItIs})
		require.NoError(t, err)
		info, err := natsq.BucketInfo(t.Context(), js, Bucket)
		require.NoError(t, err)
		require.Equal(t, asItIs, info.Config.Description == "theirs")
	}
}
