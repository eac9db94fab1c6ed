package egress

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// forgetful is a connection of which the network forgets: what is written gets nowhere,
// and nobody says so.
type forgetful struct {
	net.Conn
	forgotten *atomic.Bool
}

func (c forgetful) Write(b []byte) (int, error) {
	if c.forgotten.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// TestTransport_LeavesAForgottenConnection: calls over HTTP/2 share one connection, so
// that one which is dead without a word takes all of them with it.
func TestTransport_LeavesAForgottenConnection(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	transport := New(Config{Open: true}).Transport()
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	require.NotNil(t, transport.HTTP2, "nobody looks whether a connection lives")
	transport.HTTP2.SendPingTimeout, transport.HTTP2.PingTimeout = 50*time.Millisecond, 50*time.Millisecond
	var made atomic.Int32
	var forgotten atomic.Bool
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil && made.Add(1) == 1 {
			conn = forgetful{conn, &forgotten}
		}
		return conn, err
	}
	call := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, http.NoBody)
		require.NoError(t, err)
		resp, err := transport.RoundTrip(r)
		if err == nil {
			require.Equal(t, 2, resp.ProtoMajor)
			require.NoError(t, resp.Body.Close())
		}
		return err
	}
	require.NoError(t, call(30*time.Second))
	forgotten.Store(true)
	require.Eventually(t, func() bool { return call(time.Second) == nil }, 30*time.Second, time.Millisecond)
	require.EqualValues(t, 2, made.Load())
}
