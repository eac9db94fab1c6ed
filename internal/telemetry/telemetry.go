// Package telemetry sets up a program's logs, traces and metrics, and serves its
// admin port: health, metrics and profiles.
//
// Logs are JSON lines that carry the trace they belong to, and show values by their
// type. Metrics are kept in the process and read by Prometheus. By the OTEL_*
// variables, traces, metrics and logs are sent over OTLP too, in the background:
// they are dropped rather than waited for when the collector is away. The package
// knows no part of the program and decides nothing about what is worth recording.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config names the program. Service is required; the zero value of every other
// field is a sensible default.
type Config struct {
	// Service is the service.name, for example "writeback-api". OTEL_SERVICE_NAME
	// overrides it.
	Service string
	// Version is the service.version.
	Version string
	// Level is the least level that is logged. Nil reads WRITEBACK_LOG_LEVEL,
	// where anything but a level means info.
	Level slog.Leveler
	// Output takes the log lines. Nil is standard error.
	Output io.Writer
	// ShutdownTimeout bounds Shutdown. Zero is 5 s.
	ShutdownTimeout time.Duration
}

// Telemetry is a program's logs, traces and metrics. It is safe for concurrent use.
type Telemetry struct {
	// Logger writes JSON lines with trace_id and span_id of the call's context.
	Logger *slog.Logger
	// TracerProvider makes tracers. Spans have ids even when nothing exports them,
	// but record nothing then.
	TracerProvider trace.TracerProvider
	// MeterProvider makes meters, whose instruments appear in Registry.
	MeterProvider metric.MeterProvider
	// Propagator carries trace context in W3C headers, and nothing else: baggage
	// of a partner's request must not travel on to a provider.
	Propagator propagation.TextMapPropagator
	// Registry is what /metrics shows.
	Registry *prometheus.Registry

	timeout time.Duration
	stop    []func(context.Context) error
}

// Setup makes a program's telemetry and installs it as OpenTelemetry's process
// default, so that otel.Tracer and otel.Meter use it. Call it once, in main.
//
// Traces, metrics and logs are exported each if its exporter is chosen
// (OTEL_TRACES_EXPORTER and the like) or an OTLP endpoint is set, and not otherwise.
// An error means an OTEL_* variable that cannot be understood; a collector that is
// away is no error.
func Setup(ctx context.Context, cfg Config) (*Telemetry, error) {
	t, err := build(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	otel.SetTracerProvider(t.TracerProvider)
	otel.SetMeterProvider(t.MeterProvider)
	otel.SetTextMapPropagator(t.Propagator)
	// Not over OTLP, which may be what fails.
	otel.SetErrorHandler(newErrorLog(newLogger(cfg, nil), time.Now))
	return t, nil
}

func build(ctx context.Context, cfg Config) (*Telemetry, error) {
	if cfg.Service == "" {
		return nil, errors.New("a service name is required")
	}
	if cfg.ShutdownTimeout <= 0 {
		cfg.ShutdownTimeout = 5 * time.Second
	}
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", cfg.Service),
			attribute.String("service.version", cfg.Version),
		),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	t := &Telemetry{
		Propagator: propagation.TraceContext{},
		Registry:   prometheus.NewRegistry(),
		timeout:    cfg.ShutdownTimeout,
	}
	bridge, err := t.logs(ctx, res)
	if err != nil {
		return nil, err
	}
	t.Logger = newLogger(cfg, bridge)
	if err := t.metrics(ctx, res); err != nil {
		return nil, err
	}
	if err := t.traces(ctx, res); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Telemetry) metrics(ctx context.Context, res *resource.Resource) error {
	t.Registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	reader, err := otelprom.New(otelprom.WithRegisterer(t.Registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("prometheus: %w", err)
	}
	opts := []sdkmetric.Option{sdkmetric.WithReader(reader), sdkmetric.WithResource(res), views()}
	if wanted("METRICS") {
		exported, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return noExporter("METRICS", err)
		}
		if !autoexport.IsNoneMetricReader(exported) {
			opts = append(opts, sdkmetric.WithReader(exported))
		}
	}
	provider := sdkmetric.NewMeterProvider(opts...)
	t.MeterProvider = provider
	t.stop = append(t.stop, provider.Shutdown)
	if err := runtime.Start(runtime.WithMeterProvider(provider)); err != nil {
		return fmt.Errorf("runtime metrics: %w", err)
	}
	return nil
}

func (t *Telemetry) traces(ctx context.Context, res *resource.Resource) error {
	opts := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(res), sdktrace.WithIDGenerator(idGenerator{}), sdktrace.WithSampler(sdktrace.NeverSample()),
	}
	if wanted("TRACES") {
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return noExporter("TRACES", err)
		}
		sampler, err := samplerFromEnv()
		if err != nil {
			return err
		}
		if !autoexport.IsNoneSpanExporter(exporter) {
			opts = append(opts, sdktrace.WithBatcher(exporter), sdktrace.WithSampler(sampler))
		}
	}
	provider := sdktrace.NewTracerProvider(opts...)
	t.TracerProvider = provider
	t.stop = append(t.stop, provider.Shutdown)
	return nil
}

// logs gives what takes log lines over OTLP. Nil: nothing does.
func (t *Telemetry) logs(ctx context.Context, res *resource.Resource) (log.LoggerProvider, error) {
	if !wanted("LOGS") {
		return nil, nil
	}
	exporter, err := autoexport.NewLogExporter(ctx)
	if err != nil {
		return nil, noExporter("LOGS", err)
	}
	if autoexport.IsNoneLogExporter(exporter) {
		return nil, nil
	}
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(res), sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
	t.stop = append(t.stop, provider.Shutdown)
	return provider, nil
}

// noExporter names the variable that chooses the exporter of a signal.
func noExporter(signal string, err error) error {
	name := "OTEL_" + signal + "_EXPORTER"
	return fmt.Errorf("no exporter (%s=%q): %w", name, os.Getenv(name), err)
}

// wanted reports whether a signal is to be exported.
func wanted(signal string) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	for _, name := range []string{"OTEL_" + signal + "_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// Shutdown sends what is still to be sent and stops. It ends within
// Config.ShutdownTimeout even if ctx has no deadline, is already over, or the
// collector is away; what could not be sent by then is lost and is an error.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var (
			mu   sync.Mutex
			errs []error
			all  sync.WaitGroup
		)
		// Side by side: one that hangs must not take the others' time.
		for _, stop := range t.stop {
			all.Go(func() {
				err := stop(ctx)
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
		all.Wait()
		done <- errors.Join(errs...)
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("telemetry: shut down: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("telemetry: shut down: %w", ctx.Err())
	}
}
