package work_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// network makes connections that can fall silent without breaking: nothing comes over those that
// there are any more, and nobody is told. New ones are whole.
type network struct {
	mu    sync.Mutex
	conns []*silentConn
}

type silentConn struct {
	net.Conn
	silent chan struct{}
}

func (n *network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s := &silentConn{Conn: c, silent: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, s)
	return s, nil
}

func (n *network) fallSilent() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		close(c.silent)
	}
	n.conns = nil
}

// Read drops what comes once it is silent.
func (c *silentConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		select {
		case <-c.silent:
			if err != nil {
				return 0, err
			}
		default:
			return n, err
		}
	}
}

// Write drops what is sent once it is silent.
func (c *silentConn) Write(b []byte) (int, error) {
	select {
	case <-c.silent:
		return len(b), nil
	default:
		return c.Conn.Write(b)
	}
}

// The connection over which a worker hears of what is handed to it may fall silent without
// breaking, and Redis takes it for a listener for minutes. Then the worker offers nothing.
func TestHandover_NotToAWorkerThatHearsNothing(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	var lines network
	opt := *r.rdb.Options()
	opt.Dialer, opt.ReadTimeout = lines.dial, 200*time.Millisecond
	rdb := redis.NewClient(&opt)
	t.Cleanup(func() { _ = rdb.Close() })
	accepting := r.parts.Store
	r.parts.Store = redisstore.New(rdb, redisstore.Config{})
	offer, _ := r.offered()
	r.parts.Store = accepting
	r.background(func(ctx context.Context) error { r.accepter.FollowOffers(ctx); return nil })
	channel := "wb:worker:" + offer().Worker
	lines.fallSilent()
	time.Sleep(3 * time.Second)
	n, err := r.rdb.PubSubNumSub(t.Context(), channel).Result()
	require.NoError(t, err)
	require.EqualValues(t, 1, n[channel], "Redis knows nothing of it")
	for range 20 {
		r.conn = uuid.Must(uuid.NewV7())
		op := r.accept(r.change(uuid.New(), "x"))
		require.False(t, r.leased(op.ID), "nobody would call it until its lease ends")
		require.Equal(t, operation.Pending, op.Status)
		time.Sleep(50 * time.Millisecond)
	}
}
