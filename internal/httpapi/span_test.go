package httpapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"writeback/pkg/operation"
)

// TestAsked_IsWhatTheLibraryGives holds our attributes to those of OpenTelemetry's own
// instrumentation, but for what a span here must not have.
func TestAsked_IsWhatTheLibraryGives(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*http.Request){
		"usual":          func(*http.Request) {},
		"a port":         func(r *http.Request) { r.Host = "api.example.com:8443" },
		"the usual port": func(r *http.Request) { r.Host = "api.example.com:80" },
		"IPv6":           func(r *http.Request) { r.Host, r.RemoteAddr = "[::1]:8080", "[fe80::1]:4711" },
		"IPv6, no port":  func(r *http.Request) { r.Host = "[::1]" },
		"no peer":        func(r *http.Request) { r.RemoteAddr = "" },
		"forwarded":      func(r *http.Request) { r.Header.Set("X-Forwarded-For", "203.0.113.7, 10.0.0.1") },
		"small letters":  func(r *http.Request) { r.Method = "patch" },
		"TRACE":          func(r *http.Request) { r.Method = http.MethodTrace },
		"invented":       func(r *http.Request) { r.Method = "BREW" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPatch, "http://api.example.com/a/path?and=query", nil)
			change(r)
			exporter := tracetest.NewInMemoryExporter()
			otelhttp.NewHandler(http.NotFoundHandler(), "x",
				otelhttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))),
			).ServeHTTP(httptest.NewRecorder(), r.Clone(t.Context()))
			want := attributes(exporter.GetSpans()[0])
			for _, hidden := range []attribute.Key{"url.path", "http.response.status_code", "http.response.body.size"} {
				delete(want, hidden)
			}
			got := map[attribute.Key]attribute.Value{}
			for _, a := range asked(r) {
				got[a.Key] = a.Value
			}
			require.Equal(t, want, got)
		})
	}
}

func attributes(s tracetest.SpanStub) map[attribute.Key]attribute.Value {
	out := map[attribute.Key]attribute.Value{}
	for _, a := range s.Attributes {
		out[a.Key] = a.Value
	}
	return out
}

// TestSpan looks at the whole of a request's span.
func TestSpan(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	api := newAPI(t, Config{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))})
	body := `{"connection_id":"` + connOne.String() + `","notes":"x"}`
	for _, row := range []struct {
		token  string
		status int
		code   codes.Code
	}{{token(partnerOne), 202, codes.Unset}, {"expired", 401, codes.Unset}, {"crash", 500, codes.Error}} {
		exporter.Reset()
		got := api.send(request{
			method: http.MethodPatch, path: usersPath + userOne.String() + "?mark=QUERYMARK", body: body, token: row.token,
			header: http.Header{
				"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "User-Agent": {"AGENTMARK"},
				"X-Forwarded-For": {" 203.0.113.7:4711, 10.0.0.1"},
			},
		})
		require.Equal(t, row.status, got.status)
		require.Eventually(t, func() bool { return len(exporter.GetSpans()) == 1 }, 5*time.Second, time.Millisecond)
		span := exporter.GetSpans()[0]
		require.Equal(t, "PATCH /v2/telematics/users/{user_id}", span.Name)
		require.Equal(t, trace.SpanKindServer, span.SpanKind)
		require.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.SpanContext.TraceID().String())
		require.Equal(t, "b7ad6b7169203331", span.Parent.SpanID().String())
		require.True(t, span.Parent.IsRemote())
		require.Equal(t, row.code, span.Status.Code)
		has := attributes(span)
		require.EqualValues(t, row.status, has["http.response.status_code"].AsInt64())
		require.Equal(t, "/v2/telematics/users/{user_id}", has["http.route"].AsString())
		require.Equal(t, "203.0.113.7", has["client.address"].AsString())
		require.Equal(t, got.header.Get("X-Request-Id"), has["writeback.request_id"].AsString())
		require.EqualValues(t, len(got.text), has["http.response.body.size"].AsInt64())
		if row.code == codes.Error {
			require.Equal(t, "500", has["error.type"].AsString())
		} else {
			require.NotContains(t, has, attribute.Key("error.type"))
		}
		if row.status == 202 {
			require.EqualValues(t, len(body), has["http.request.body.size"].AsInt64())
			require.Equal(t, got.body["id"], has["writeback.operation_id"].AsString())
			require.Equal(t, partnerOne.String(), has["writeback.partner_id"].AsString())
			require.Equal(t, connOne.String(), has["writeback.connection_id"].AsString())
		}
		for _, a := range span.Attributes {
			require.NotContains(t, a.Value.String(), "MARK", a.Key)
			require.NotContains(t, a.Value.String(), userOne.String(), a.Key)
		}
	}
}

// TestSpan_WithoutRoute: it is named after the method, and nothing that the caller wrote in
// place of an address is in it.
func TestSpan_WithoutRoute(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	api := newAPI(t, Config{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))})
	for method, name := range map[string]string{http.MethodGet: http.MethodGet, "BREW": "HTTP"} {
		exporter.Reset()
		got := api.send(request{method: method, path: "/PATHMARK", token: token(partnerOne), header: http.Header{"X-Forwarded-For": {"+1 555 0100 PEERMARK"}}})
		require.Equal(t, 404, got.status)
		require.Eventually(t, func() bool { return len(exporter.GetSpans()) == 1 }, 5*time.Second, time.Millisecond)
		span := exporter.GetSpans()[0]
		require.Equal(t, name, span.Name)
		require.Equal(t, "127.0.0.1", attributes(span)["client.address"].AsString())
		for _, a := range span.Attributes {
			require.NotContains(t, a.Value.String(), "MARK", a.Key)
		}
	}
}

// TestWrite_BuffersAreNotShared: an answer is not overwritten by the next one while it
// goes out.
func TestWrite_BuffersAreNotShared(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	done := make(chan string)
	for i := range 8 {
		go func() {
			for range 50 {
				notes := strings.Repeat(string(rune('a'+i)), 1000)
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPatch, api.url+usersPath+userOne.String(),
					strings.NewReader(`{"connection_id":"`+connOne.String()+`","notes":"`+notes+`"}`))
				req.Header.Set("Authorization", "Bearer "+token(partnerOne))
				req.Header.Set("Content-Type", "application/json")
				resp, err := api.client.Do(req)
				if err != nil {
					done <- err.Error()
					return
				}
				text, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if !strings.Contains(string(text), `"notes":"`+notes+`"`) {
					done <- string(text)
					return
				}
			}
			done <- ""
		}()
	}
	for range 8 {
		require.Empty(t, <-done)
	}
}

// TestSpan_OfARetry has a link to the request whose operation failed.
func TestSpan_OfARetry(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	api := newAPI(t, Config{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))})
	failed := api.seedAs(partnerOne, connOne, operation.Failed)
	untraced := api.seedAs(partnerOne, connOne, operation.Failed)
	for i := range api.memory.ops {
		if api.memory.ops[i].ID == failed {
			api.memory.ops[i].TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		}
	}
	for id, want := range map[uuid.UUID]int{failed: 1, untraced: 0} {
		exporter.Reset()
		require.Equal(t, 202, api.post(connOne, id, "retry", nil).status)
		require.Eventually(t, func() bool { return len(exporter.GetSpans()) == 1 }, 5*time.Second, time.Millisecond)
		span := exporter.GetSpans()[0]
		require.Len(t, span.Links, want)
		if want == 1 {
			require.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.Links[0].SpanContext.TraceID().String())
			require.Equal(t, "b7ad6b7169203331", span.Links[0].SpanContext.SpanID().String())
			require.Equal(t, []attribute.KeyValue{attribute.String("writeback.link", "retried operation")}, span.Links[0].Attributes)
		}
	}
}

// TestSpan_KeepsNoLongTraceState: every operation and every delivery has a copy of it.
func TestSpan_KeepsNoLongTraceState(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Tracer: sdktrace.NewTracerProvider()})
	item := "k=" + strings.Repeat("v", 250)
	for state, want := range map[string]string{
		"":                             "",
		item + ",a" + item:             item + ",a" + item,
		item + ",a" + item + ",b=1234": "",
	} {
		got := api.send(request{
			method: http.MethodPatch, path: usersPath + userOne.String(), body: `{"connection_id":"` + connOne.String() + `","notes":"x"}`,
			header: http.Header{
				"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Tracestate": {state},
			},
		})
		require.Equal(t, 202, got.status, got.text)
		all := api.memory.all()
		require.Contains(t, all[len(all)-1].TraceParent, "0af7651916cd43dd8448eb211c80319c")
		require.Equal(t, want, all[len(all)-1].TraceState)
	}
}
