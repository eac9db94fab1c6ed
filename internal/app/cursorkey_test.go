package app

import (
	"log/slog"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
)

// Api processes that start at once agree on the key, and so does one that starts after
// Redis was wiped: a cursor of any is good at all.
func TestCursorKey_AllAgreeAndAWipeChangesNothing(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	opt, err := redis.ParseURL(testenv.Redis(t))
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	url := testenv.NATS(t)
	key := func() []byte {
		nc, err := natsq.Connect(url, "test", log)
		if err != nil {
			t.Error(err)
			return nil
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Error(err)
			return nil
		}
		b := &Base{Log: log, Redis: rdb, NATS: nc, JetStream: js}
		k, err := b.cursorKey(t.Context(), nil, 1)
		if err != nil {
			t.Error(err)
		}
		return k
	}
	keys := make([][]byte, 5)
	var starting sync.WaitGroup
	for i := range keys {
		starting.Go(func() { keys[i] = key() })
	}
	starting.Wait()
	require.NoError(t, rdb.FlushAll(t.Context()).Err())
	keys = append(keys, key())
	require.Len(t, keys[0], 32)
	for _, k := range keys {
		require.Equal(t, keys[0], k)
	}

	b := &Base{Log: log}
	own, err := b.cursorKey(t.Context(), []byte("configured"), 1)
	require.NoError(t, err)
	require.Equal(t, []byte("configured"), own, "and no server is asked")
}
