package assumptions_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// lossy passes bytes between clients and one server. Once loseAnswer is set, the
// next answer is thrown away and its connection broken.
type lossy struct {
	server     string
	listener   net.Listener
	loseAnswer atomic.Bool

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
	all    sync.WaitGroup
}

func newLossy(t *testing.T, server string) *lossy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &lossy{server: server, listener: l}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.all.Wait()
	})
	return p
}

func (p *lossy) addr() string { return p.listener.Addr().String() }

func (p *lossy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		if p.closed {
			_, _ = client.Close(), server.Close()
		}
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.all.Go(func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		})
		p.all.Go(func() {
			p.answers(client, server)
			_, _ = client.Close(), server.Close()
		})
	}
}

func (p *lossy) answers(client, server net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil || p.loseAnswer.CompareAndSwap(true, false) {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}
