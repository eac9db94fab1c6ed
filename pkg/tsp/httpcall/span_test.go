package httpcall_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"writeback/pkg/tsp/httpcall"
)

func TestSpan_HasNoQuery(t *testing.T) {
	t.Parallel()
	got := make(chan string, 2)
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read: %v", err)
		}
		got <- r.RequestURI + " " + string(body)
	})
	spans := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	ctx, parent := tracers.Tracer("test").Start(t.Context(), "attempt")
	c := httpcall.New(httpcall.Config{})

	_, err := c.Do(ctx, httpcall.Request{Method: http.MethodGet, URL: base + "/extern?apikey=planted-key&a=b"})
	require.NoError(t, err)
	require.Equal(t, "/extern?apikey=planted-key&a=b ", <-got, "the provider gets the whole address")
	_, err = c.Do(ctx, httpcall.Request{Method: http.MethodPost, URL: base + "/extern?sid=planted-key", Body: []byte("b")})
	require.NoError(t, err)
	require.Equal(t, "/extern?sid=planted-key b", <-got)
	_, err = c.Do(ctx, httpcall.Request{Method: http.MethodGet, URL: "http://127.0.0.1:1/extern?apikey=planted-key"})
	require.Error(t, err)
	parent.End()

	ended := spans.Ended()
	require.Len(t, ended, 4, "one span of each call, and the parent")
	addresses := 0
	for _, span := range ended {
		require.NotContains(t, fmt.Sprintf("%v %v %v %v", span.Name(), span.Attributes(), span.Events(), span.Status()), "planted")
		for _, attribute := range span.Attributes() {
			if attribute.Key == "url.full" {
				addresses++
				require.Contains(t, attribute.Value.AsString(), "/extern")
			}
		}
	}
	require.Equal(t, 3, addresses, "a span says where the call went")
}

func TestDo_GivesTheHeadersThatAreWanted(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Own-Errorcode", "45")
		w.Header().Set("X-Other", "planted")
	})
	answer, err := httpcall.New(httpcall.Config{}).Do(t.Context(), httpcall.Request{
		Method: http.MethodGet, URL: base, Want: []string{"X-Own-Errorcode", "X-Absent"},
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"X-Own-Errorcode": "45"}, answer.Wanted)
	require.NotContains(t, answer.Header, "X-Own-Errorcode", "what is wanted reaches no log")
}

// A connection that was used before and breaks makes the transport repeat a GET
// without a body by itself, unless it changes something.
func TestDo_TheTransportRepeatsNoWrite(t *testing.T) {
	t.Parallel()
	calls := make(chan string, 8)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls <- fmt.Sprint(r.URL.Path, r.ContentLength, r.TransferEncoding)
		if r.URL.Path == "/break" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Errorf("hijack: %v", err)
				return
			}
			_ = conn.Close()
		}
	})
	c := httpcall.New(httpcall.Config{})
	_, err := c.Do(t.Context(), httpcall.Request{Method: http.MethodGet, URL: base + "/first"})
	require.NoError(t, err)
	_, err = c.Do(t.Context(), httpcall.Request{Method: http.MethodGet, URL: base + "/break", Write: true})
	require.Error(t, err)
	require.Equal(t, "/first0 []", <-calls)
	require.Equal(t, "/break0 []", <-calls, "no body is announced")
	require.Empty(t, calls, "the write was made twice")
}
