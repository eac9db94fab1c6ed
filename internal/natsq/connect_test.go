package natsq_test

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
)

// gate lets clients in while it is open, and counts those whom it refused.
type gate struct {
	open    atomic.Bool
	refused atomic.Int32
}

func (g *gate) Check(server.ClientAuthentication) bool {
	if g.open.Load() {
		return true
	}
	g.refused.Add(1)
	return false
}

func guarded(t *testing.T, g *gate) (url string) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, CustomClientAuthentication: g, NoLog: true, NoSigs: true,
	})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(within))
	return s.ClientURL()
}

// TestConnect_OutlastsARefusal: a server that refuses our credentials for a while, at the
// start or later, is asked again. The client's own rule is to give up at the second time.
func TestConnect_OutlastsARefusal(t *testing.T) {
	t.Parallel()
	g := &gate{}
	nc, err := natsq.Connect(guarded(t, g), "test", quiet)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	for range 2 {
		before := g.refused.Load()
		require.Eventually(t, func() bool { return g.refused.Load() >= before+4 }, within, every)
		g.open.Store(true)
		require.Eventually(t, nc.IsConnected, within, every)
		g.open.Store(false)
		require.NoError(t, nc.ForceReconnect())
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestConnect_SaysThatItIsClosedForGood has a server whose error ends the client's
// connection, whatever its options.
func TestConnect_SaysThatItIsClosedForGood(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = fmt.Fprint(c, "INFO {\"server_id\":\"x\",\"version\":\"2.11.0\",\"headers\":true,\"max_payload\":1024}\r\n")
		for in := bufio.NewScanner(c); in.Scan(); {
			if in.Text() == "PING" {
				_, _ = fmt.Fprint(c, "PONG\r\n-ERR 'Some Fault'\r\n")
			}
		}
	}()
	var log lines
	nc, err := natsq.Connect("nats://"+ln.Addr().String(), "test", slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "closed for good") }, within, every)
	require.Contains(t, log.String(), "level=ERROR")
	require.Contains(t, log.String(), "Some Fault")
	require.Equal(t, nats.CLOSED, nc.Status())
}

// TestConnect_ClosingIsNoFault: what we close ourselves is not worth a line.
func TestConnect_ClosingIsNoFault(t *testing.T) {
	t.Parallel()
	g := &gate{}
	g.open.Store(true)
	var log lines
	nc, err := natsq.Connect(guarded(t, g), "test", slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	nc.Close()
	require.Empty(t, log.String())
}

// TestAway_SaysWhyThereIsNoConnection: of a server that is not there the client says nothing by
// itself, and of one that refuses us several lines a second.
func TestAway_SaysWhyThereIsNoConnection(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	for url, why := range map[string]string{
		"nats://" + ln.Addr().String(): "connection refused", guarded(t, &gate{}): "Authorization Violation",
	} {
		var log, away lines
		var told atomic.Pointer[error]
		nc, err := natsq.Connect(url, "test", slog.New(slog.NewTextHandler(&log, nil)), natsq.Away(slog.New(slog.NewTextHandler(&away, nil)), func(err error) { told.Store(&err) }))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return strings.Contains(away.String(), why) }, within, every, why)
		nc.Close()
		require.ErrorContains(t, *told.Load(), why)
		require.NotContains(t, log.String(), "msg=nats ")
	}
}
