package natsq_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
)

// several is more than NATS is asked for at a time.
const several = 1200

// TestReadBucket_IsAllOrAnError: who reads is never given a part of a bucket for the whole, nor one
// of which a server that was away may have lost something. A watch that is over leaves nothing.
func TestReadBucket_IsAllOrAnError(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	c.bucket(t)
	c.fill(t, watched, several, []byte("first"))
	took := 0
	read := func(first func() error) error {
		took = 0
		return natsq.ReadBucket(t.Context(), c.js, watched, 0, func(jetstream.KeyValueEntry) {
			if took == 0 {
				if err := first(); err != nil {
					t.Error(err)
				}
			}
			took++
		})
	}
	connected := c.nc.StatusChanged(nats.CONNECTED)
	defer c.nc.RemoveStatusListener(connected)
	require.ErrorContains(t, read(func() error {
		err := c.nc.ForceReconnect()
		<-connected
		return err
	}), "connected anew")
	require.Less(t, took, several)
	require.NoError(t, read(func() error { return nil }))
	require.Equal(t, several, took)
	require.Eventually(t, func() bool {
		s, err := c.js.Stream(t.Context(), "KV_"+watched)
		return err == nil && s.CachedInfo().State.Consumers == 0
	}, within, every)
}

// TestReadBucket_OfWhatChangesMeanwhile: all that was there is not more when something is added,
// and not waited for when something is removed.
func TestReadBucket_OfWhatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(t *testing.T, c client, s jetstream.Stream, took int) error
		want   int
	}{
		"added": {func(t *testing.T, c client, _ jetstream.Stream, took int) error {
			if took > 2*several { // it would have no end
				return nil
			}
			_, err := c.js.Publish(t.Context(), "$KV."+watched+".new", nil)
			return err
		}, several},
		"removed": {func(t *testing.T, _ client, s jetstream.Stream, took int) error {
			if took > 1 {
				return nil
			}
			return s.Purge(t.Context(), jetstream.WithPurgeSubject(fmt.Sprintf("$KV.%s.%d", watched, several-1)))
		}, several - 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, testenv.NATS(t))
			_, err := natsq.OpenBucket(t.Context(), c.js, jetstream.KeyValueConfig{Bucket: watched, History: 64}, nil)
			require.NoError(t, err)
			c.fill(t, watched, several, []byte("first"))
			s, err := c.js.Stream(t.Context(), "KV_"+watched)
			require.NoError(t, err)
			took := 0
			require.NoError(t, natsq.ReadBucket(t.Context(), c.js, watched, 0, func(jetstream.KeyValueEntry) {
				took++
				if err := row.change(t, c, s, took); err != nil {
					t.Error(err)
				}
			}))
			require.Equal(t, row.want, took)
		})
	}
}

// TestReadBucket_EndsWhenWhatIsLeftIsRemoved: nothing comes any more that would say that it was the
// last.
func TestReadBucket_EndsWhenWhatIsLeftIsRemoved(t *testing.T) {
	t.Parallel()
	const asked = jetstream.DefaultMaxMessages // at a time
	c := connect(t, testenv.NATS(t))
	c.bucket(t)
	c.fill(t, watched, asked+1, []byte("first"))
	s, err := c.js.Stream(t.Context(), "KV_"+watched)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	took := 0
	require.NoError(t, natsq.ReadBucket(ctx, c.js, watched, 0, func(jetstream.KeyValueEntry) {
		if took++; took > 1 {
			return
		}
		reader, err := s.Consumer(t.Context(), c.watching(t))
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			info, err := reader.Info(t.Context())
			return err == nil && info.Delivered.Consumer == asked && info.NumPending == 1
		}, within, every, "all that was asked for is on its way, and says that one is left")
		require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSubject(fmt.Sprintf("$KV.%s.%d", watched, asked))))
	}))
	require.Equal(t, asked, took)
}

// TestReadBucket_WhatTheServerEnded: of a key whose time is over the server itself says so.
func TestReadBucket_WhatTheServerEnded(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	c.bucket(t)
	msg := nats.NewMsg("$KV." + watched + ".ended")
	msg.Header.Set(jetstream.MarkerReasonHeader, "MaxAge")
	_, err := c.js.PublishMsg(t.Context(), msg)
	require.NoError(t, err)
	var got []jetstream.KeyValueOp
	require.NoError(t, natsq.ReadBucket(t.Context(), c.js, watched, 0, func(e jetstream.KeyValueEntry) { got = append(got, e.Operation()) }))
	require.Equal(t, []jetstream.KeyValueOp{jetstream.KeyValuePurge}, got)
}

// TestReadKey_WhatIsNotThereIsNone: neither a key, nor one that was deleted, nor a bucket, which
// reading does not make. What cannot be asked is not known.
func TestReadKey_WhatIsNotThereIsNone(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	read := func() string {
		value, err := natsq.ReadKey(t.Context(), c.js, watched, "key")
		require.NoError(t, err)
		return string(value)
	}
	require.Empty(t, read())
	_, err := c.js.KeyValue(t.Context(), watched)
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
	kv := c.bucket(t)
	require.Empty(t, read())
	_, err = kv.PutString(t.Context(), "key", "value")
	require.NoError(t, err)
	require.Equal(t, "value", read())
	require.NoError(t, kv.Delete(t.Context(), "key"))
	require.Empty(t, read())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = natsq.ReadKey(gone, c.js, watched, "key")
	require.ErrorIs(t, err, context.Canceled)
}

// TestFollower_NoticesThatTheLastEntryIsLost: nothing comes after it that shows the gap.
func TestFollower_NoticesThatTheLastEntryIsLost(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	c.bucket(t)
	var got taken
	f := c.follower(got.take)
	natsq.Check(f, 10*every)
	run(t, f)
	c.fill(t, watched, 1, []byte("first"))
	got.eventually(t, 1, "first")
	// The server answers two who ask the same consumer by turns.
	thief, err := c.js.Consumer(t.Context(), "KV_"+watched, c.watching(t))
	require.NoError(t, err)
	stolen, err := thief.Fetch(1, jetstream.FetchMaxWait(within))
	require.NoError(t, err)
	require.NoError(t, c.nc.Flush())
	for n := 0; ; n++ {
		value := strconv.Itoa(n)
		c.fill(t, watched, 1, []byte(value))
		lost := false
		require.Eventually(t, func() bool {
			select {
			case <-stolen.Messages():
				lost = true
				return true
			default:
				is, _ := got.m.Load("0")
				return is == value
			}
		}, within, time.Millisecond)
		if lost {
			got.eventually(t, 1, value)
			return
		}
	}
}

// TestFollower_AQuietBucketIsFollowed, however often it is looked whether anything was missed.
func TestFollower_AQuietBucketIsFollowed(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	c.bucket(t)
	c.fill(t, watched, 10, []byte("first"))
	var got taken
	var log lines
	f := c.follower(got.take)
	f.Log = slog.New(slog.NewTextHandler(&log, nil))
	require.NoError(t, f.ReadAll(t.Context()))
	natsq.Check(f, every)
	run(t, f)
	for range 3 { // at first it may be behind
		said, asked := log.String(), c.nc.Stats().OutMsgs
		require.Eventually(t, func() bool { return c.nc.Stats().OutMsgs > asked+20 }, within, every)
		if log.String() == said {
			return
		}
	}
	t.Fatal(log.String())
}
