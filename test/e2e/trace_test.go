package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/natsq"
	"writeback/internal/sandbox"
	"writeback/test/e2e/stack"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent  = "00-" + traceID + "-00f067aa0ba902b7-01"
)

// TestTrace_IsOne sends a traceparent in and finds its trace in the accepted
// message, in the final event and at the provider.
func TestTrace_IsOne(t *testing.T) {
	providers := &tap{}
	front := httptest.NewServer(providers)
	t.Cleanup(front.Close)
	s := stack.Start(t, stack.Options{
		APIs: 1, Workers: 1, Registry: stack.Registry{Limits: fast, Users: 2},
		Via: func(_, server, target string) string {
			if server != "sandbox" {
				return target
			}
			providers.forward(target)
			return strings.TrimPrefix(front.URL, "http://")
		},
	})
	r := s.Client().Write(t.Context(), s.APIs[0], history.Request{
		Marker: "mk-trace-1", Connection: sandbox.ConnectionID(1), User: sandbox.UserID(1, 0),
	}, http.Header{"Traceparent": {parent}})
	require.Equal(t, http.StatusAccepted, r.Status)
	h, err := s.Collect(t.Context(), []history.Request{r}, 30*time.Second)
	require.NoError(t, err)
	require.True(t, history.Check(h).Clean(), history.Check(h).String())

	require.Equal(t, []string{traceID}, traces(providers.parents()), "at the provider")
	for _, stream := range []string{natsq.StreamOperations, natsq.StreamEvents} {
		var found []string
		require.NoError(t, s.Messages(t.Context(), stream, func(m jetstream.Msg, _ time.Time) error {
			found = append(found, m.Headers().Get("traceparent"))
			return nil
		}))
		require.Equal(t, []string{traceID}, traces(found), "in stream %s", stream)
	}
}

// traces gives the trace ids of traceparents.
func traces(parents []string) []string {
	out := make([]string, len(parents))
	for i, p := range parents {
		if parts := strings.Split(p, "-"); len(parts) == 4 {
			out[i] = parts[1]
		}
	}
	return out
}

// tap passes calls on to the sandbox, whose record does not have the headers, and
// keeps their traceparents.
type tap struct {
	mu    sync.Mutex
	proxy *httputil.ReverseProxy
	seen  []string
}

func (p *tap) forward(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proxy = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: target})
}

func (p *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Header.Get("traceparent"))
	proxy := p.proxy
	p.mu.Unlock()
	proxy.ServeHTTP(w, r)
}

func (p *tap) parents() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.seen...)
}
