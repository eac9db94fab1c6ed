package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"writeback/internal/config"
	"writeback/internal/dirsync"
	"writeback/internal/metrics"
	"writeback/internal/telemetry"
	"writeback/internal/work"
)

// A process whose connection to NATS is closed for good ends, so that another takes its
// place: when it runs, and when it starts.
func TestBase_EndsWithItsConnectionToNATS(t *testing.T) {
	t.Parallel()
	b := openBase(t, workerSettings(t), io.Discard)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(t.Context()) }()
	b.NATS.Close()
	require.ErrorIs(t, <-ended, errNATSClosed)
	require.ErrorIs(t, b.Run(t.Context()), errNATSClosed, "it was closed before")

	cause := errors.New("no answer")
	err := b.await(t.Context(), "something", func(context.Context) error { return cause })
	require.ErrorIs(t, err, errNATSClosed)
	require.ErrorIs(t, err, cause)
}

// TestBase_ShowsWhetherNATSIsConnected is not parallel: OpenTelemetry has one meter provider
// per process.
func TestBase_ShowsWhetherNATSIsConnected(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	t.Cleanup(func() { otel.SetMeterProvider(before) })
	b := openBase(t, workerSettings(t), io.Discard)
	defer b.watchConnections()()
	connected := func() (values []float64) {
		var all metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &all))
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				if data, ok := m.Data.(metricdata.Gauge[float64]); ok && m.Name == string(metrics.NATSConnected) {
					values = append(values, data.DataPoints[0].Value)
				}
			}
		}
		return values
	}
	require.Equal(t, []float64{1}, connected())
	b.NATS.Close()
	require.Equal(t, []float64{0}, connected())
}

// A keyset that is none is told at once, whoever is away.
func TestOpen_ABadKeysetWaitsForNobody(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	cfg := workerSettings(t, "WRITEBACK_KEYSET_FILE="+file)
	cfg.NATSURL = "nats://127.0.0.1:1"
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := Open(ctx, Settings{Name: "test", Common: cfg.Common, KeysetFile: cfg.KeysetFile, Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "WRITEBACK_KEYSET_FILE")
}

// An address that is taken is named by its variable.
func TestWithAdmin_NamesTheVariable(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	err = WithAdmin(t.Context(), nil, taken.Addr().String(), time.Second, nil)
	require.ErrorContains(t, err, "WRITEBACK_ADMIN_ADDR: listen tcp "+taken.Addr().String())
}

// While a program drains nothing new is routed to it, and its metrics can be read until it has ended.
func TestWithAdmin_AnswersUntilTheProgramHasEnded(t *testing.T) {
	t.Parallel()
	var log notes
	tel := &telemetry.Telemetry{Logger: slog.New(slog.NewTextHandler(&log, nil)), Registry: prometheus.NewRegistry()}
	ctx, stop := context.WithCancel(t.Context())
	running, finish, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- WithAdmin(ctx, tel, "127.0.0.1:0", 10*time.Second, func(ctx context.Context, admin *telemetry.Admin) error {
			admin.Started(telemetry.AdminConfig{})
			close(running)
			<-ctx.Done()
			<-finish
			return nil
		})
	}()
	<-running
	addr := regexp.MustCompile(`admin=(\S+)`).FindStringSubmatch(log.String())[1]
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	status := func(path string) int {
		resp, err := client.Get("http://" + addr + path)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, http.StatusOK, status("/readyz"))
	stop()
	require.Eventually(t, func() bool { return status("/readyz") == http.StatusServiceUnavailable }, 20*time.Second, time.Millisecond)
	require.Equal(t, http.StatusOK, status("/metrics"))
	close(finish)
	require.NoError(t, <-ended)
	require.Zero(t, status("/healthz"))
}

// A program that fails ends, with its admin port, and says why.
func TestWithAdmin_EndsWithTheProgram(t *testing.T) {
	t.Parallel()
	tel := &telemetry.Telemetry{Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}
	cause := errors.New("no way")
	err := WithAdmin(t.Context(), tel, "127.0.0.1:0", time.Second, func(context.Context, *telemetry.Admin) error { return cause })
	require.ErrorIs(t, err, cause)
}

// What reads a whole bucket or stream has no bound on all of it: a try that is cut off would
// start from zero, for ever.
func TestBase_PersistsWithWhatTakesLong(t *testing.T) {
	t.Parallel()
	b := openBase(t, workerSettings(t), io.Discard)
	tries := 0
	require.NoError(t, b.persist(t.Context(), "something long", func(ctx context.Context) error {
		_, bounded := ctx.Deadline()
		require.False(t, bounded)
		if tries++; tries == 1 {
			return errors.New("not yet")
		}
		return nil
	}))
	require.Equal(t, 2, tries)
	require.NoError(t, b.await(t.Context(), "something short", func(ctx context.Context) error {
		_, bounded := ctx.Deadline()
		require.True(t, bounded)
		return nil
	}))
}

// Of the time to stop something is kept back, to record the calls that were broken off.
func TestCallGrace(t *testing.T) {
	t.Parallel()
	for grace, want := range map[time.Duration]time.Duration{25 * time.Second: 25*time.Second - work.RecordTime, time.Second: time.Second} {
		w := config.Worker{}
		w.ShutdownGrace = grace
		require.Equal(t, want, callGrace(w))
	}
}

// No bucket is set back at a start to what it was made as.
func TestOpen_LeavesWhatAnOperatorRaised(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t)
	start := func() *Base {
		b := openBase(t, cfg, io.Discard)
		_, err := OpenWebhooks(t.Context(), b, cfg.Webhooks, 1)
		require.NoError(t, err)
		_, err = b.cursorKey(t.Context(), nil, 1)
		require.NoError(t, err)
		_, err = dirsync.OpenBook(t.Context(), b.JetStream, 1, b.Log)
		require.NoError(t, err)
		return b
	}
	b := start()
	raised := map[string]jetstream.StreamConfig{}
	for info := range b.JetStream.ListStreams(t.Context()).Info() {
		if strings.HasPrefix(info.Config.Name, "KV_") {
			s := info.Config
			s.MaxMsgsPerSubject, s.MaxBytes = 5, 8<<20
			made, err := b.JetStream.UpdateStream(t.Context(), s)
			require.NoError(t, err)
			raised[s.Name] = made.CachedInfo().Config
		}
	}
	require.Len(t, raised, 5)
	start()
	for name, want := range raised {
		s, err := b.JetStream.Stream(t.Context(), name)
		require.NoError(t, err)
		got := s.CachedInfo().Config
		require.Equal(t, want.MaxMsgsPerSubject, got.MaxMsgsPerSubject, name)
		require.Equal(t, want.MaxBytes, got.MaxBytes, name)
	}
}
