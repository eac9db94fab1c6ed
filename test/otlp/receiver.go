// Package otlp receives what the programs send over OTLP, in tests: traces, metrics and
// logs, as they come. It says what is in a trace and what it lacks; what ought to be in
// it is for the test to know.
package otlp

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collectlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collecttraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	logpb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
)

// Record is one log record that was received, with the program that it is from.
type Record struct {
	*logpb.LogRecord
	Service string
}

// TraceID gives the trace that the record belongs to, as hex. Empty: none.
func (r Record) TraceID() string { return id(r.TraceId) }

// Receiver takes traces, metrics and logs over OTLP and HTTP. Its methods may be called
// from any goroutine.
type Receiver struct {
	*httptest.Server

	mu      sync.Mutex
	spans   []Span
	records []Record
	metrics map[string]bool
	faults  []string
}

// Start starts a receiver, which is closed when the test ends.
func Start(t testing.TB) *Receiver {
	r := &Receiver{metrics: map[string]bool{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// Environ makes a program send to the receiver.
func (r *Receiver) Environ() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}
}

// ServeHTTP takes what an exporter sends.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = r.take(req.URL.Path, body)
	}
	if err != nil {
		r.faults = append(r.faults, req.URL.Path+": "+err.Error())
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *Receiver) take(path string, body []byte) error {
	switch path {
	case "/v1/traces":
		return r.takeTraces(body)
	case "/v1/logs":
		return r.takeLogs(body)
	case "/v1/metrics":
		return r.takeMetrics(body)
	default:
		return errors.New("nobody receives here")
	}
}

func (r *Receiver) takeTraces(body []byte) error {
	var m collecttraces.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &m); err != nil {
		return err
	}
	for _, from := range m.ResourceSpans {
		for _, scope := range from.ScopeSpans {
			for _, s := range scope.Spans {
				r.spans = append(r.spans, Span{Span: s, Service: attribute(from.Resource.Attributes, "service.name")})
			}
		}
	}
	return nil
}

func (r *Receiver) takeLogs(body []byte) error {
	var m collectlogs.ExportLogsServiceRequest
	if err := proto.Unmarshal(body, &m); err != nil {
		return err
	}
	for _, from := range m.ResourceLogs {
		for _, scope := range from.ScopeLogs {
			for _, l := range scope.LogRecords {
				r.records = append(r.records, Record{LogRecord: l, Service: attribute(from.Resource.Attributes, "service.name")})
			}
		}
	}
	return nil
}

func (r *Receiver) takeMetrics(body []byte) error {
	var m collectmetrics.ExportMetricsServiceRequest
	if err := proto.Unmarshal(body, &m); err != nil {
		return err
	}
	for _, from := range m.ResourceMetrics {
		for _, scope := range from.ScopeMetrics {
			for _, one := range scope.Metrics {
				r.metrics[one.Name] = true
			}
		}
	}
	return nil
}

// Spans gives every span so far, as they came.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// Records gives every log record so far, as they came.
func (r *Receiver) Records() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records)
}

// Metrics gives the names of the metrics so far, in order.
func (r *Receiver) Metrics() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, 0, len(r.metrics))
	for name := range r.metrics {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Faults gives what was sent and could not be taken.
func (r *Receiver) Faults() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.faults)
}
