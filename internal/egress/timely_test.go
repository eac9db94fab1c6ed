package egress

import (
	"context"
	"io"
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
				require.ErrorIs(t, send(awoken{t.Context()}), context.DeadlineExceeded, name)
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
	require.ErrorIs(t, send(awoken{t.Context()}), context.DeadlineExceeded)
	require.Equal(t, int32(1), got.Load())
}

// A body that the transport reads anew is looked at anew.
func TestTimely_LooksAgainWhenABodyIsSentAgain(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, "http://127.0.0.1", strings.NewReader("written"))
	require.NoError(t, err)
	late := timely(req.WithContext(awoken{ctx}))
	for range 2 {
		body, err := late.GetBody()
		require.NoError(t, err)
		_, err = io.ReadAll(body)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	again, err := timely(req).GetBody()
	require.NoError(t, err)
	text, err := io.ReadAll(again)
	require.NoError(t, err)
	require.Equal(t, "written", string(text))
	require.Equal(t, req.ContentLength, late.ContentLength)

	bare, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1", http.NoBody)
	require.NoError(t, err)
	require.Same(t, bare, timely(bare))
}
