// Package assumptions_test pins what the flow takes for granted about NATS, Redis
// and their clients. Each test states one fact and fails when an upgrade changes
// it; the comment says what would have to be thought over then.
//
// It tests nothing of Writeback's own, but for one: that the scripts keep to the
// rules of a Redis Cluster.
package assumptions_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within bounds every wait for something that must happen. No test measures time.
const (
	within = 30 * time.Second
	every  = 10 * time.Millisecond
)

func natsConn(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{testenv.Patient}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func jetStream(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

// redisClient is a client that repeats nothing, unless change says otherwise.
func redisClient(t *testing.T, url string, change ...func(*redis.Options)) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(url)
	require.NoError(t, err)
	opts.MaxRetries = -1
	for _, c := range change {
		c(opts)
	}
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
