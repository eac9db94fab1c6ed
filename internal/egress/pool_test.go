package egress

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// held is a server whose answers wait, and counts of its calls and connections.
type held struct {
	*httptest.Server
	arrived chan struct{}
	release chan struct{}
	conns   atomic.Int64
}

func newHeld(t *testing.T) *held {
	t.Helper()
	h := &held{arrived: make(chan struct{}, 100), release: make(chan struct{})}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h.arrived <- struct{}{}
		select {
		case <-h.release:
		case <-r.Context().Done():
		}
	}))
	h.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			h.conns.Add(1)
		}
	}
	h.Start()
	t.Cleanup(h.Close)
	return h
}

func fetch(ctx context.Context, rt http.RoundTripper, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err
}

func TestPool_IsBoundedAndOnePerCounterpart(t *testing.T) {
	t.Parallel()
	const calls = 3
	guard := New(Config{Open: true})
	slow, other := newHeld(t), newHeld(t)
	close(other.release)
	p, q := guard.Pool(calls), guard.Pool(calls)
	t.Cleanup(func() {
		for _, rt := range []http.RoundTripper{p, q} {
			rt.(*pool).CloseIdleConnections()
		}
	})
	done := make(chan error, calls)
	for range calls {
		go func() { done <- fetch(t.Context(), p, slow.URL) }()
	}
	for range calls {
		<-slow.arrived
	}
	require.ErrorIs(t, fetch(t.Context(), p, slow.URL), ErrFull)
	require.ErrorIs(t, fetch(t.Context(), p, other.URL), ErrFull, "the bound is the pool's, not one host's")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, fetch(ended, p, slow.URL), context.Canceled, "the call's own end comes first")
	require.NoError(t, fetch(t.Context(), q, other.URL), "another counterpart has its own pool")
	require.Empty(t, slow.arrived, "a call without room sends nothing")

	close(slow.release)
	for range calls {
		require.NoError(t, <-done)
	}
	require.NoError(t, fetch(t.Context(), p, slow.URL), "there is room again")
	require.LessOrEqual(t, slow.conns.Load(), int64(calls))
}

func TestPool_WaitsForAMomentOnly(t *testing.T) {
	t.Parallel()
	p := &pool{next: &http.Transport{}, room: make(chan struct{}, 1), wait: time.Minute}
	require.NoError(t, p.enter(t.Context()))
	entered := make(chan error, 1)
	go func() { entered <- p.enter(t.Context()) }()
	<-p.room
	require.NoError(t, <-entered, "a place that is given back in time is taken")
	require.Less(t, poolWait, time.Second, "a call starts within the start window or not at all")
}

// TestPool_GivesEachPlaceBackOnce: a call that fails holds none, and a body that is closed
// twice gives back no place of another.
func TestPool_GivesEachPlaceBackOnce(t *testing.T) {
	t.Parallel()
	server := newHeld(t)
	close(server.release)
	p := New(Config{Open: true}).Pool(2).(*pool)
	t.Cleanup(p.CloseIdleConnections)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for range 3 {
		err := fetch(t.Context(), p, "http://"+gone.Addr().String())
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrFull)
	}
	require.Empty(t, p.room)
	p.room <- struct{}{}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
	require.NoError(t, err)
	resp, err := p.RoundTrip(r)
	require.NoError(t, err)
	require.Len(t, p.room, 2)
	require.NoError(t, resp.Body.Close())
	_ = resp.Body.Close()
	require.Len(t, p.room, 1)
}

// TestPool_AnAnswerThatIsNotReadEndsItsCall: closing the body gives back the place, and with
// it the connection.
func TestPool_AnAnswerThatIsNotReadEndsItsCall(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(ended)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	p := New(Config{Open: true}).Pool(1).(*pool)
	t.Cleanup(p.CloseIdleConnections)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
	require.NoError(t, err)
	resp, err := p.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Empty(t, p.room)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the call is still under way")
	}
}

// TestRefused_ClosesTheBody, as a transport must: whoever streams it waits for that.
func TestRefused_ClosesTheBody(t *testing.T) {
	t.Parallel()
	full := &pool{room: make(chan struct{}), wait: time.Millisecond}
	for name, refuses := range map[string]http.RoundTripper{"a URL": New(Config{}).Client(time.Second).Transport, "a full pool": full} {
		body, w := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://10.0.0.1/", body)
		require.NoError(t, err)
		_, err = refuses.RoundTrip(r)
		require.Error(t, err, name)
		_, err = w.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe, name)
		r.Body = nil
		_, err = refuses.RoundTrip(r)
		require.Error(t, err, name)
	}
}
