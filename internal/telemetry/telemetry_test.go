package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"writeback/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup reads the environment and sets process defaults, so its tests are not
// parallel.
func setup(t *testing.T, cfg telemetry.Config) (*telemetry.Telemetry, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	cfg.Service, cfg.Version, cfg.Output = "writeback-test", "v1", &log
	tel, err := telemetry.Setup(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tel.Shutdown(context.WithoutCancel(t.Context())) })
	return tel, &log
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return rec.Code, rec.Body.String()
}

func TestSetup_LogsCarryTheTrace(t *testing.T) {
	tel, log := setup(t, telemetry.Config{})
	ctx, span := otel.Tracer("test").Start(t.Context(), "work")
	defer span.End()

	tel.Logger.With("operation_id", "7").InfoContext(ctx, "done", "n", 1)
	var line map[string]any
	require.NoError(t, json.Unmarshal(log.Bytes(), &line))
	require.Equal(t, span.SpanContext().TraceID().String(), line["trace_id"])
	require.Equal(t, span.SpanContext().SpanID().String(), line["span_id"])
	require.Equal(t, "writeback-test", line["service"])
	require.Equal(t, "v1", line["version"])
	require.Equal(t, "7", line["operation_id"])

	log.Reset()
	tel.Logger.InfoContext(t.Context(), "no span")
	require.NotContains(t, log.String(), "trace_id")

	log.Reset()
	tel.Logger.WithGroup("g").InfoContext(ctx, "grouped", "k", "v")
	require.Contains(t, log.String(), span.SpanContext().TraceID().String())
}

func TestSetup_Level(t *testing.T) {
	for _, tt := range []struct {
		env   string
		level slog.Leveler
		debug bool
		info  bool
	}{
		{"", nil, false, true},
		{"debug", nil, true, true},
		{"WARN", nil, false, false},
		{"nonsense", nil, false, true},
		{"debug", slog.LevelError, false, false},
	} {
		t.Setenv("WRITEBACK_LOG_LEVEL", tt.env)
		tel, _ := setup(t, telemetry.Config{Level: tt.level})
		require.Equal(t, tt.debug, tel.Logger.Enabled(t.Context(), slog.LevelDebug), tt.env)
		require.Equal(t, tt.info, tel.Logger.Enabled(t.Context(), slog.LevelInfo), tt.env)
	}
}

func TestSetup_Errors(t *testing.T) {
	_, err := telemetry.Setup(t.Context(), telemetry.Config{})
	require.Error(t, err, "no service")
	t.Setenv("OTEL_TRACES_EXPORTER", "pigeon")
	_, err = telemetry.Setup(t.Context(), telemetry.Config{Service: "x"})
	require.ErrorContains(t, err, `OTEL_TRACES_EXPORTER="pigeon"`)
}

func TestSetup_Metrics(t *testing.T) {
	tel, _ := setup(t, telemetry.Config{})
	counter, err := otel.Meter("test").Int64Counter("writeback.calls", metric.WithUnit("{call}"))
	require.NoError(t, err)
	counter.Add(t.Context(), 3)

	status, body := get(t, tel.Admin(telemetry.AdminConfig{}), "/metrics")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "writeback_calls_total 3")
	require.Contains(t, body, "go_goroutines")
	require.Contains(t, body, `service_name="writeback-test"`)
}

func TestSetup_ExportsToACollector(t *testing.T) {
	var got atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			got.Add(1)
		}
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tel, _ := setup(t, telemetry.Config{})
	_, span := otel.Tracer("test").Start(t.Context(), "work")
	span.End()
	require.NoError(t, tel.Shutdown(t.Context()))
	require.EqualValues(t, 1, got.Load())
}

func TestSetup_NothingIsExportedUnlessAskedFor(t *testing.T) {
	var got atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	for _, signal := range []string{"TRACES", "METRICS", "LOGS"} {
		t.Setenv("OTEL_"+signal+"_EXPORTER", "none")
	}
	tel, _ := setup(t, telemetry.Config{})
	tel.Logger.Info("a line")
	_, span := otel.Tracer("test").Start(t.Context(), "work")
	require.True(t, span.SpanContext().IsValid(), "ids exist all the same")
	require.False(t, span.IsRecording(), "what nobody takes is not recorded")
	span.End()
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Zero(t, got.Load())
}

// A collector that accepts connections and never answers: spans beyond the queue
// are dropped, ending one never waits, and the shutdown keeps its deadline.
func TestSetup_HangingCollectorBlocksNothing(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
	tel, _ := setup(t, telemetry.Config{ShutdownTimeout: 50 * time.Millisecond})

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 10_000 {
			_, span := otel.Tracer("test").Start(t.Context(), "work")
			span.End()
		}
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("spans wait for the collector")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, tel.Shutdown(over))
}

func TestCarry_RoundTrip(t *testing.T) {
	t.Parallel()
	parent, state := telemetry.Inject(t.Context())
	require.Empty(t, parent+state)

	const in, vendor = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=value"
	ctx := telemetry.Extract(t.Context(), in, vendor)
	sc := trace.SpanContextFromContext(ctx)
	require.True(t, sc.IsRemote())
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", sc.TraceID().String())
	parent, state = telemetry.Inject(ctx)
	require.Equal(t, in, parent)
	require.Equal(t, vendor, state)

	for _, bad := range []string{"", "x", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "ff-" + in[3:]} {
		require.False(t, trace.SpanContextFromContext(telemetry.Extract(t.Context(), bad, vendor)).IsValid(), bad)
	}
}
