package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"writeback/internal/dirsync"
	"writeback/internal/metrics"
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
