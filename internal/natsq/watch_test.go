package natsq_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
)

const watched = "watched"

// fill writes the keys 0 to n-1.
func (c client) fill(t *testing.T, bucket string, n int, value []byte) {
	t.Helper()
	for i := range n {
		_, err := c.js.PublishAsync(fmt.Sprintf("$KV.%s.%d", bucket, i), value)
		require.NoError(t, err)
	}
	select {
	case <-c.js.PublishAsyncComplete():
	case <-t.Context().Done():
		require.NoError(t, context.Cause(t.Context()))
	}
}

// bucket makes the bucket that is watched.
func (c client) bucket(t *testing.T) jetstream.KeyValue {
	t.Helper()
	kv, err := natsq.OpenBucket(t.Context(), c.js, jetstream.KeyValueConfig{Bucket: watched, Storage: jetstream.FileStorage}, nil)
	require.NoError(t, err)
	return kv
}

// follower goes on where it is, in a bucket that is the same.
func (c client) follower(take func(jetstream.KeyValueEntry)) *natsq.Follower {
	var of time.Time
	var read uint64
	return &natsq.Follower{
		JetStream: c.js, Config: jetstream.KeyValueConfig{Bucket: watched, Storage: jetstream.FileStorage}, Log: quiet,
		From: func(now *jetstream.StreamInfo) uint64 {
			if !now.Created.Equal(of) {
				of, read = now.Created, 0
			}
			return read
		},
		Take: func(e jetstream.KeyValueEntry) { take(e); read = e.Revision() },
	}
}

// run follows until the test ends.
func run(t *testing.T, f *natsq.Follower) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// watching gives the consumer of the bucket's one watch.
func (c client) watching(t *testing.T) (name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		s, err := c.js.Stream(t.Context(), "KV_"+watched)
		if err != nil {
			return false
		}
		names := s.ConsumerNames(t.Context())
		for name = range names.Name() {
		}
		return name != ""
	}, within, every)
	return name
}

// taken is what a follower took in: the last value of each key.
type taken struct{ m sync.Map }

func (k *taken) take(e jetstream.KeyValueEntry) { k.m.Store(e.Key(), string(e.Value())) }

func (k *taken) eventually(t *testing.T, n int, value string) {
	t.Helper()
	require.Eventually(t, func() bool {
		have := 0
		k.m.Range(func(_, v any) bool {
			if v == value {
				have++
			}
			return true
		})
		return have == n
	}, within, every)
}

// TestFollower_ReadsOnWhenAWatchBreaks: a start survives what a run does.
func TestFollower_ReadsOnWhenAWatchBreaks(t *testing.T) {
	t.Parallel()
	const entries = 3000
	c := connect(t, testenv.NATS(t))
	c.bucket(t)
	c.fill(t, watched, entries, []byte("first"))
	var got []string
	f := c.follower(func(e jetstream.KeyValueEntry) {
		if len(got) == 0 {
			if err := c.nc.ForceReconnect(); err != nil {
				t.Error(err)
			}
		}
		got = append(got, e.Key())
	})
	require.NoError(t, f.ReadAll(t.Context()))
	require.Len(t, got, entries)
	for i, key := range got {
		require.Equal(t, strconv.Itoa(i), key, "each once, in order")
	}
}

// TestFollower_NoticesALostEntry: one that did not arrive is read again.
func TestFollower_NoticesALostEntry(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	c.bucket(t)
	var got taken
	run(t, c.follower(got.take))
	c.fill(t, watched, 10, []byte("first"))
	got.eventually(t, 10, "first")
	// The server answers two who ask the same consumer by turns.
	thief, err := c.js.Consumer(t.Context(), "KV_"+watched, c.watching(t))
	require.NoError(t, err)
	stolen, err := thief.Fetch(5)
	require.NoError(t, err)
	require.NoError(t, c.nc.Flush())
	c.fill(t, watched, 10, []byte("second"))
	require.NotNil(t, <-stolen.Messages())
	got.eventually(t, 10, "second")
}

// TestFollower_NoticesAnotherBucket: one that was put in its place is read from its start, also
// if it is just as long.
func TestFollower_NoticesAnotherBucket(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	c.bucket(t)
	c.fill(t, watched, 10, []byte("first"))
	var got taken
	run(t, c.follower(got.take))
	got.eventually(t, 10, "first")
	require.NoError(t, c.js.DeleteKeyValue(t.Context(), watched))
	c.bucket(t)
	c.fill(t, watched, 10, []byte("second"))
	got.eventually(t, 10, "second")
}

// TestFollower_TakesEndsIn: a key that was deleted or purged is none.
func TestFollower_TakesEndsIn(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	kv := c.bucket(t)
	c.fill(t, watched, 3, []byte("first"))
	require.NoError(t, kv.Delete(t.Context(), "0"))
	require.NoError(t, kv.Purge(t.Context(), "1"))
	got := map[string]jetstream.KeyValueOp{}
	require.NoError(t, natsq.ReadBucket(t.Context(), c.js, watched, 0, func(e jetstream.KeyValueEntry) { got[e.Key()] = e.Operation() }))
	require.Equal(t, map[string]jetstream.KeyValueOp{
		"0": jetstream.KeyValueDelete, "1": jetstream.KeyValuePurge, "2": jetstream.KeyValuePut,
	}, got)
}

// TestFollower_HoldsLittle: a bucket of hundreds of thousands, or as many changes at once, do not
// wait in a process that is slower than NATS.
func TestFollower_HoldsLittle(t *testing.T) {
	t.Parallel()
	const (
		entries = 3000
		most    = 1000
	)
	url := testenv.NATS(t)
	writer, reader := connect(t, url), connect(t, url)
	writer.bucket(t)
	writer.fill(t, watched, entries, []byte("first"))

	took, held := 0, 0
	filled, all := make(chan struct{}), make(chan struct{})
	f := reader.follower(func(jetstream.KeyValueEntry) {
		if took == entries { // the first of the changes waits until all are there
			<-filled
		}
		// Whatever the server has sent has come when it answers.
		if err := reader.nc.Flush(); err != nil {
			t.Error(err)
		}
		held = max(held, int(reader.nc.Stats().InMsgs)-took)
		if took++; took == 2*entries {
			close(all)
		}
	})
	require.NoError(t, f.ReadAll(t.Context()))
	require.Equal(t, entries, took)
	require.LessOrEqual(t, held, most, "while all is read")

	held = 0
	run(t, f)
	writer.fill(t, watched, entries, []byte("second"))
	close(filled)
	<-all
	require.LessOrEqual(t, held, most, "while it is followed")
}

// TestFollower_OutlastsAServerOfTheCluster: a watch lives on one server, which may be another
// than the one that the process is connected to.
func TestFollower_OutlastsAServerOfTheCluster(t *testing.T) {
	t.Parallel()
	nodes := testenv.NATSCluster(t, 3)
	c := connect(t, nodes[0].URL()+","+nodes[1].URL()+","+nodes[2].URL())
	var kv jetstream.KeyValue
	require.Eventually(t, func() (ok bool) {
		var err error
		kv, err = natsq.OpenBucket(t.Context(), c.js, jetstream.KeyValueConfig{Bucket: watched, Storage: jetstream.FileStorage, Replicas: 3}, nil)
		return err == nil
	}, within, every)
	put := func(value string) {
		for i := range 10 {
			require.Eventually(t, func() bool {
				_, err := kv.Put(t.Context(), strconv.Itoa(i), []byte(value))
				return err == nil
			}, within, every)
		}
	}
	put("first")
	var got taken
	run(t, c.follower(got.take))
	got.eventually(t, 10, "first")
	watch, err := c.js.Consumer(t.Context(), "KV_"+watched, c.watching(t))
	require.NoError(t, err)
	on := watch.CachedInfo().Cluster.Leader
	for _, n := range nodes {
		if n.Name() == on {
			n.Kill()
		}
	}
	put("second")
	got.eventually(t, 10, "second")
}
