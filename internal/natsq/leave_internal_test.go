package natsq

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
)

const soon = 30 * time.Second

// TestLeaving_NothingAfterTheProcessStoodStill: what the client took before does not leave, and a new
// connection is there for what comes after.
func TestLeaving_NothingAfterTheProcessStoodStill(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	reader, err := nats.Connect(url, testenv.Patient)
	require.NoError(t, err)
	defer reader.Close()
	got, err := reader.SubscribeSync("test")
	require.NoError(t, err)
	require.NoError(t, reader.Flush())

	p := &pulse{began: time.Now()}
	nc, err := nats.Connect(url, leaving(p), nats.ReconnectWait(time.Millisecond), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1))
	require.NoError(t, err)
	defer nc.Close()
	p.at.Add(-2 * int64(stillFor))
	require.NoError(t, nc.Publish("test", []byte("before")))
	require.Eventually(t, func() bool { return nc.Stats().Reconnects > 0 && nc.IsConnected() }, soon, time.Millisecond)
	require.NoError(t, nc.Publish("test", []byte("after")))
	msg, err := got.NextMsg(soon)
	require.NoError(t, err)
	require.Equal(t, "after", string(msg.Data))
}

// TestPulse: a process that runs is none that stood still, however long it runs; and between two
// beats there may pass as long as one may be silent.
func TestPulse(t *testing.T) {
	t.Parallel()
	p := &pulse{began: time.Now().Add(-stillFor / 2)}
	require.Zero(t, p.stops())
	for range 4 {
		p.began = p.began.Add(-stillFor / 2)
		require.Zero(t, p.stops())
	}
	p.began = p.began.Add(-stillFor)
	require.EqualValues(t, 1, p.stops())
	require.EqualValues(t, 1, p.stops(), "once")
}

// TestConnect_Beats: the pulse of a connection that nothing is written to does not take that for
// standing still.
func TestConnect_Beats(t *testing.T) {
	t.Parallel()
	nc, err := Connect(testenv.NATS(t), "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	p := nc.Opts.CustomDialer.(dialer).pulse
	first := p.at.Load()
	require.Eventually(t, func() bool { return p.at.Load() > first+2*int64(stillFor) }, soon, beatEvery)
	require.Zero(t, p.stopped.Load())
	nc.Close()
	require.Eventually(t, func() bool {
		last := p.at.Load()
		time.Sleep(2 * beatEvery)
		return p.at.Load() == last
	}, soon, time.Millisecond, "it ends with the connection")
}

// lane is a network between a client and a server on which, once it is blocked, nothing moves
// towards the server, until it is opened again.
type lane struct {
	address string
	mu      sync.Mutex
}

func laneTo(t *testing.T, server string) *lane {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &lane{address: ln.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			running.Go(func() { _, _ = io.Copy(client, upstream); _ = client.Close() })
			running.Go(func() {
				_, _ = io.Copy(writer(func(p []byte) (int, error) {
					l.mu.Lock()
					defer l.mu.Unlock()
					return upstream.Write(p)
				}), client)
				_ = upstream.Close()
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); running.Wait() })
	return l
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// TestLeaving_GivesUpAWayThatTakesNothing: the client would keep what it cannot write for a minute,
// and everybody else from publishing meanwhile.
func TestLeaving_GivesUpAWayThatTakesNothing(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	way := laneTo(t, strings.TrimPrefix(url, "nats://"))
	given := make(chan struct{}, 1)
	nc, err := nats.Connect("nats://"+way.address, leaving(&pulse{began: time.Now()}), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.SetCustomDialer(&net.Dialer{}), // the client alone
		nats.DisconnectErrHandler(func(*nats.Conn, error) { given <- struct{}{} }))
	require.NoError(t, err)
	way.mu.Lock()
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for big := make([]byte, 1<<19); nc.Publish("test", big) == nil; {
		}
	})
	select {
	case <-given:
	case <-time.After(soon):
		t.Error("it was not given up")
	}
	way.mu.Unlock()
	nc.Close()
	publishing.Wait()
}
