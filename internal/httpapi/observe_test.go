package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

func TestNew_Faults(t *testing.T) {
	t.Parallel()
	a := &api{t: t, memory: &memory{}, hooks: newHooks(), script: newScript(), world: newWorld(), log: &lines{}}
	_, err := New(Deps{}, Config{})
	require.ErrorContains(t, err, "missing")
	for name, drop := range map[string]func(*Deps){
		"Verifier": func(d *Deps) { d.Verifier = nil }, "Directory": func(d *Deps) { d.Directory = nil },
		"Providers": func(d *Deps) { d.Providers = nil }, "Accepter": func(d *Deps) { d.Accepter = nil },
		"Reader":   func(d *Deps) { d.Reader = nil },
		"Webhooks": func(d *Deps) { d.Webhooks = nil }, "Records": func(d *Deps) { d.Records = nil }, "Tail": func(d *Deps) { d.Tail = nil },
		"Cursors": func(d *Deps) { d.Cursors = nil }, "Log": func(d *Deps) { d.Log = nil },
	} {
		deps := a.deps(t)
		drop(&deps)
		_, err := New(deps, Config{})
		require.ErrorContains(t, err, "Deps."+name)
	}
	s := &server{cfg: Config{}.withDefaults()}
	s.mux, s.known = http.NewServeMux(), http.NewServeMux()
	none := func(http.ResponseWriter, *http.Request) error { return nil }
	route := wire.Route{Method: http.MethodGet, Path: "/here", OperationID: "here"}
	require.ErrorContains(t, s.register([]wire.Route{route}, nil), `route "here" has no handler`)
	s.mux, s.known = http.NewServeMux(), http.NewServeMux()
	require.ErrorContains(t, s.register(nil, map[string]handler{"there": none}), `handler "there" has no route`)
	s.mux, s.known = http.NewServeMux(), http.NewServeMux()
	require.NoError(t, s.register([]wire.Route{route}, map[string]handler{"here": none}))
}

// line gives the one line that the last request left.
func (a *api) line(t *testing.T) map[string]any {
	t.Helper()
	var found map[string]any
	require.Eventually(t, func() bool {
		for _, text := range strings.Split(strings.TrimSpace(a.log.String()), "\n") {
			var m map[string]any
			if json.Unmarshal([]byte(text), &m) == nil && m["msg"] == "request" {
				found = m
			}
		}
		return found != nil
	}, time.Minute, time.Millisecond)
	return found
}

func TestObserve_OneLineWithoutSecrets(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	api := newAPI(t, Config{Tracer: tracer})
	got := api.send(request{
		method: http.MethodPatch, path: usersPath + userOne.String() + "?is_sync=false&mark=QUERYMARK",
		body:   `{"connection_id":"` + connOne.String() + `","license_number":"BODYMARK"}`,
		header: http.Header{"Idempotency-Key": {"KEYMARK"}},
	})
	require.Equal(t, 202, got.status)
	line := api.line(t)
	require.Equal(t, "PATCH", line["method"])
	require.Equal(t, "/v2/telematics/users/{user_id}", line["route"])
	require.EqualValues(t, 202, line["status"])
	require.Equal(t, partnerOne.String(), line["partner_id"])
	require.Equal(t, connOne.String(), line["connection_id"])
	require.Equal(t, got.body["id"], line["operation_id"])
	require.Equal(t, got.header.Get("X-Request-Id"), line["request_id"])
	require.Less(t, line["duration_ms"].(float64), 60_000.0, "in milliseconds, as all lines have it")
	spans := exporter.GetSpans()
	require.Len(t, spans, 1)
	require.Equal(t, "PATCH /v2/telematics/users/{user_id}", spans[0].Name)
	require.Equal(t, spans[0].SpanContext.TraceID().String(), got.header.Get("X-Trace-Id"))
	require.Contains(t, api.memory.all()[0].TraceParent, spans[0].SpanContext.TraceID().String())
	for _, secret := range []string{"QUERYMARK", "BODYMARK", "KEYMARK", token(partnerOne), userOne.String()} {
		require.NotContains(t, api.log.String(), secret)
	}
	require.Equal(t, 1, strings.Count(api.log.String(), `"msg":"request"`))
}

// TestObserve_CodeOfARefusal: the line has the class of what the partner was told.
func TestObserve_CodeOfARefusal(t *testing.T) {
	t.Parallel()
	for path, status := range map[string]int{
		"/nothing": 404, "/v2/telematics/users/": 404, usersPath + uuid.NewString(): 404, "/v2/telematics/users?size=0": 422,
	} {
		api := newAPI(t, Config{})
		require.Equal(t, status, api.get(path).status, path)
		require.Equal(t, map[int]string{404: "not_found", 422: "invalid"}[status], api.line(t)["code"], path)
	}
}

func TestObserve_Durations(t *testing.T) {
	t.Parallel()
	metrics := sdkmetric.NewManualReader()
	api := newAPI(t, Config{Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(metrics))})
	for _, path := range []string{"/v2/telematics/users", usersPath + userOne.String(), usersPath + uuid.NewString(), "/a", "/b"} {
		api.get(path)
	}
	seen := func() map[string]uint64 {
		var data metricdata.ResourceMetrics
		require.NoError(t, metrics.Collect(t.Context(), &data))
		out := map[string]uint64{}
		for _, scope := range data.ScopeMetrics {
			for _, m := range scope.Metrics {
				if m.Name != "http.server.request.duration" {
					continue
				}
				for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
					route, _ := p.Attributes.Value("http.route")
					code, _ := p.Attributes.Value("http.response.status_code")
					out[route.AsString()+" "+strconv.FormatInt(code.AsInt64(), 10)] += p.Count
				}
			}
		}
		return out
	}
	require.Eventually(t, func() bool { return seen()["unmatched 404"] == 2 }, time.Minute, time.Millisecond)
	require.Equal(t, map[string]uint64{
		"/v2/telematics/users 200": 1, "/v2/telematics/users/{user_id} 200": 1, "/v2/telematics/users/{user_id} 404": 1,
		"unmatched 404": 2,
	}, seen())
}

// TestObserve_Active: a request is under way until its answer has gone out, also one
// whose caller has left.
func TestObserve_Active(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	api := newAPI(t, Config{Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	active := func() (n int64) {
		var data metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &data))
		for _, scope := range data.ScopeMetrics {
			for _, m := range scope.Metrics {
				if m.Name != "http.server.active_requests" {
					continue
				}
				require.Equal(t, "{request}", m.Unit)
				require.False(t, m.Data.(metricdata.Sum[int64]).IsMonotonic)
				for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
					verb, _ := p.Attributes.Value("http.request.method")
					require.Equal(t, "PATCH", verb.AsString())
					n += p.Value
				}
			}
		}
		return n
	}
	ctx, leave := context.WithCancel(t.Context())
	var during int64
	api.memory.onAccept = func(inside context.Context) {
		during = active()
		leave()
		<-inside.Done()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, api.url+usersPath+userOne.String(),
		strings.NewReader(`{"connection_id":"`+connOne.String()+`","notes":"x"}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token(partnerOne))
	req.Header.Set("Content-Type", "application/json")
	resp, err := api.client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	require.ErrorIs(t, err, context.Canceled)
	require.Eventually(t, func() bool { return active() == 0 }, time.Minute, time.Millisecond)
	require.EqualValues(t, 1, during)
}

func TestObserve_RequestID(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for given, taken := range map[string]bool{
		"abc-123": true, "": false, "with space": false, "<script>": false, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
	} {
		got := api.send(request{path: "/docs", header: http.Header{"X-Request-Id": {given}}})
		echoed := got.header.Get("X-Request-Id")
		require.NotEmpty(t, echoed)
		require.Equal(t, taken, echoed == given, given)
	}
}

func TestGuard_PanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	got := api.send(request{path: "/v2/telematics/users", token: "crash"})
	require.Equal(t, 500, got.status)
	require.JSONEq(t, `{"message":"Internal Server Error"}`, got.text)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.EqualValues(t, 500, api.line(t)["status"])
	require.Contains(t, api.log.String(), "the verifier fell over")
	require.Contains(t, api.log.String(), "fake_test.go")
	require.Equal(t, 200, api.get("/v2/telematics/users").status, "the process lives")
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for _, path := range []string{"/v2/telematics/users", "/nowhere", "/docs", "/openapi.json"} {
		h := api.get(path).header
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'", path)
		require.Equal(t, "no-referrer", h.Get("Referrer-Policy"), path)
		require.NotEmpty(t, h.Get("Cache-Control"), path)
	}
}

func TestDocuments_NeedNoToken(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	open := http.Header{"Authorization": nil}
	doc := api.send(request{path: "/openapi.json", header: open})
	require.Equal(t, 200, doc.status)
	require.Contains(t, doc.body, "paths")
	page := api.send(request{path: "/docs", header: open})
	require.Equal(t, 200, page.status)
	require.Equal(t, "text/html; charset=utf-8", page.header.Get("Content-Type"))
	require.NotEmpty(t, page.text)
}

func TestHead(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for path, status := range map[string]int{
		"/docs": 200, "/openapi.json": 200, "/v2/telematics/users": 200, usersPath + uuid.NewString(): 404, "/nowhere": 404,
	} {
		got := api.send(request{method: http.MethodHead, path: path})
		require.Equal(t, status, got.status, path)
		require.Empty(t, got.text)
		require.NotEmpty(t, got.header.Get("Content-Length"), path)
	}
}

// TestDeadlines looks at the deadlines that the parts behind the edge are given.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]time.Duration{
		"":              7 * time.Second,
		"?is_sync=true": 23 * time.Second, // 20 s of the provider's call and the margin
	} {
		api := newAPI(t, Config{Timeout: 7 * time.Second, SyncMargin: 3 * time.Second})
		var left time.Duration
		api.memory.onAccept = func(ctx context.Context) {
			until, _ := ctx.Deadline()
			left = time.Until(until)
		}
		require.Less(t, api.patch(userOne, query, connOne, `"notes":"x"`).status, 300)
		require.Greater(t, left, want-2*time.Second)
		require.LessOrEqual(t, left, want)
	}
}

// TestSync_OutlivesItsCaller: the write may have reached the provider, so it is
// finished and recorded when the caller has gone.
func TestSync_OutlivesItsCaller(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	api.memory.onAccept = func(inside context.Context) {
		leave()
		select {
		case <-inside.Done():
			gone <- inside.Err()
		case <-time.After(100 * time.Millisecond):
			gone <- nil
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, api.url+usersPath+userOne.String()+"?is_sync=true",
		strings.NewReader(`{"connection_id":"`+connOne.String()+`","notes":"x"}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token(partnerOne))
	req.Header.Set("Content-Type", "application/json")
	resp, err := api.client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, <-gone)
	require.Eventually(t, func() bool {
		ops := api.memory.all()
		return len(ops) == 1 && ops[0].Status == operation.Succeeded
	}, time.Minute, time.Millisecond)
}
