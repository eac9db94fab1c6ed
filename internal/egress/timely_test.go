package egress

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// awoken is what a context is to a process that was stopped: its time is over, and nothing has
// taken note of that yet.
type awoken struct{ context.Context }

// Deadline has passed.
func (awoken) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout(), "%v", err)
}

// TestTimely_NothingIsSentOnceTheTimeIsOver: on a connection that is open already, since one
// that is dialled has a deadline of its own.
func TestTimely_NothingIsSentOnceTheTimeIsOver(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var got atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err == nil && string(body) == "written" {
					got.Add(1)
				}
			}))
			server.EnableHTTP2 = version == "HTTP/2.0"
			server.StartTLS()
			t.Cleanup(server.Close)
			g := New(Config{Open: true})
			trusting := func(transport *http.Transport) *http.Transport {
				transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:forcetypeassert // it is one
				t.Cleanup(transport.CloseIdleConnections)
				return transport
			}
			p, ok := g.Pool(2).(*pool)
			require.True(t, ok)
			trusting(p.next)
			for name, next := range map[string]http.RoundTripper{"pool": p, "client": checked{g, trusting(g.Transport())}} {
				send := func(ctx context.Context) error {
					req, err := http.NewRequestWithContext(ctx, http.MethodPatch, server.URL, strings.NewReader("written"))
					require.NoError(t, err)
					resp, err := next.RoundTrip(req)
					if err != nil {
						return err
					}
					require.Equal(t, version, resp.Proto)
					_, err = io.Copy(io.Discard, resp.Body)
					require.NoError(t, err)
					return resp.Body.Close()
				}
				long, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				got.Store(0)
				require.NoError(t, send(long))
				require.Equal(t, int32(1), got.Load())
				requireTimeout(t, send(awoken{t.Context()}))
				require.NoError(t, send(t.Context()), "without a deadline")
				require.Equal(t, int32(2), got.Load(), name)
			}
		})
	}
}

// A write that is a GET has a body that turns out to be empty; see httpcall.
func TestTimely_NoLateGET(t *testing.T) {
	t.Parallel()
	var got atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }))
	t.Cleanup(server.Close)
	p := New(Config{Open: true}).Pool(2)
	t.Cleanup(p.(*pool).CloseIdleConnections) //nolint:forcetypeassert // it is one
	send := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
		require.NoError(t, err)
		req.Body, req.GetBody = io.NopCloser(strings.NewReader("")), nil
		resp, err := p.RoundTrip(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	long, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, send(long))
	requireTimeout(t, send(awoken{t.Context()}))
	require.Equal(t, int32(1), got.Load())
}

// What cannot be late stays as it is.
func TestTimely_OnlyWhatHasABodyAndADeadline(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, body := range []io.Reader{http.NoBody, nil} {
		read, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1", body)
		require.NoError(t, err)
		require.Same(t, read, timely(read))
	}
	unbounded, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "http://127.0.0.1", strings.NewReader("written"))
	require.NoError(t, err)
	require.Same(t, unbounded, timely(unbounded))
}
