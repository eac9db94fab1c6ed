package app

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/work"
	"writeback/pkg/tsp"
)

// short patience makes the tests of it quick; what they wait for is the event.
var short = patience{header: 50 * time.Millisecond, read: 200 * time.Millisecond, write: time.Minute, idle: time.Minute}

// served runs h with short patience until the returned stop, which waits for the end.
func served(t *testing.T, h http.Handler) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, h, 10*time.Second, short) }()
	return ln.Addr().String(), func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// TestServe_OutlastsASyncWrite: the answer of the longest one still goes out.
func TestServe_OutlastsASyncWrite(t *testing.T) {
	t.Parallel()
	longest := tsp.Limits{Call: time.Hour}.WithDefaults().Call
	require.Greater(t, ordinary.write, longest+work.SyncRecordTime+5*time.Second)
}

// cutOff reads until the server has closed the connection, and fails when it has not.
func cutOff(t *testing.T, conn net.Conn) string {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	got, err := io.ReadAll(conn)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the server gave up first")
	return string(got)
}

// A caller that never finishes its header is cut off by the server, not kept.
func TestServe_EndsSlowHeaders(t *testing.T) {
	t.Parallel()
	addr, stop := served(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request without an end was handled")
	}))
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "))
	require.NoError(t, err)
	cutOff(t, conn)
	require.NoError(t, conn.Close())
	stop()
}

// A caller that never finishes its body is cut off too, whether the handler reads the
// body or not, and the handler ends: the server stops with nothing under way.
func TestServe_EndsSlowBodies(t *testing.T) {
	t.Parallel()
	reads := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		if err == nil {
			t.Error("a body without an end was read")
		}
		w.WriteHeader(http.StatusRequestTimeout)
	})
	ignores := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for _, row := range []struct {
		name    string
		handler http.Handler
		body    string
		drips   bool
		answer  string
	}{
		{"stops in the middle", reads, "Content-Length: 100\r\n\r\n{\"a\":", false, "HTTP/1.1 408"},
		{"drips", reads, "Content-Length: 1000000\r\n\r\n{\"a\":", true, "HTTP/1.1 408"},
		{"stops in the middle of a chunk", reads, "Transfer-Encoding: chunked\r\n\r\n10\r\nabc", false, "HTTP/1.1 408"},
		{"drips, and nobody reads", ignores, "Content-Length: 100000\r\n\r\n{\"a\":", true, "HTTP/1.1 204"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr, stop := served(t, row.handler)
			conn, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			_, err = conn.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\n" + row.body))
			require.NoError(t, err)
			dripped := make(chan struct{})
			go func() {
				defer close(dripped)
				for row.drips {
					if _, err := conn.Write([]byte("x")); err != nil {
						return // the server has closed
					}
					time.Sleep(time.Millisecond) // the pace of the caller, not a wait
				}
			}()
			require.Contains(t, cutOff(t, conn), row.answer)
			require.NoError(t, conn.Close())
			<-dripped
			stop()
		})
	}
}

// What is under way when a program is told to stop is answered, and is not broken off.
func TestServe_FinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	entered, finish := make(chan struct{}), make(chan struct{})
	addr, stop := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-finish
		if r.Context().Err() != nil {
			t.Error("a request was broken off")
		}
		_, _ = io.WriteString(w, "done")
	}))
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	<-entered
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	require.Eventually(t, func() bool {
		late, err := net.Dial("tcp", addr)
		return err != nil || late.Close() != nil
	}, 20*time.Second, time.Millisecond, "nothing new is taken")
	close(finish)
	require.Contains(t, cutOff(t, conn), "done")
	require.NoError(t, conn.Close())
	<-stopped
}

// What takes longer than the grace is cut off, and the stop says so.
func TestServe_CutsOffWhatOutlastsTheGrace(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	entered := make(chan struct{})
	endless := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, endless, 10*time.Millisecond, short) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	<-entered
	cancel()
	require.ErrorContains(t, <-done, "stop serving "+ln.Addr().String())
	require.Empty(t, cutOff(t, conn))
}
