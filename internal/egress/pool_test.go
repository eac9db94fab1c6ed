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
