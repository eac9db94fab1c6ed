package telemetry

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logpb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// span is one that was received, with what the resource says of its program.
type span struct {
	*tracepb.Span
	service string
}

func (s span) id() string         { return hex.EncodeToString(s.SpanId) }
func (s span) traceID() string    { return hex.EncodeToString(s.TraceId) }
func (s span) parent() string     { return hex.EncodeToString(s.ParentSpanId) }
func (s span) failed() bool       { return s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR }
func (s span) at(k string) string { return attribute(s.Attributes, k) }

// links gives what the span links to, by the links' writeback.link.
func (s span) links() map[string]string {
	out := map[string]string{}
	for _, l := range s.Links {
		out[attribute(l.Attributes, "writeback.link")] = hex.EncodeToString(l.TraceId) + " " + hex.EncodeToString(l.SpanId)
	}
	return out
}

func attribute(all []*common.KeyValue, key string) string {
	for _, a := range all {
		if a.Key == key {
			if n, ok := a.Value.Value.(*common.AnyValue_IntValue); ok {
				return strconv.FormatInt(n.IntValue, 10)
			}
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// record is one log record that was received.
type record struct {
	*logpb.LogRecord
	service string
}

// collector receives traces, metrics and logs over OTLP.
type collector struct {
	*httptest.Server

	mu      sync.Mutex
	spans   []span
	records []record
	metrics map[string]bool
	faults  []string
}

func newCollector(t *testing.T) *collector {
	c := &collector{metrics: map[string]bool{}}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

// ServeHTTP takes what an exporter sends.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		err = c.take(r.URL.Path, body)
	}
	if err != nil {
		c.faults = append(c.faults, r.URL.Path+": "+err.Error())
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) take(path string, body []byte) error {
	switch path {
	case "/v1/traces":
		var m traces.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &m); err != nil {
			return err
		}
		for _, r := range m.ResourceSpans {
			for _, scope := range r.ScopeSpans {
				for _, s := range scope.Spans {
					c.spans = append(c.spans, span{s, attribute(r.Resource.Attributes, "service.name")})
				}
			}
		}
	case "/v1/logs":
		var m logs.ExportLogsServiceRequest
		if err := proto.Unmarshal(body, &m); err != nil {
			return err
		}
		for _, r := range m.ResourceLogs {
			for _, scope := range r.ScopeLogs {
				for _, l := range scope.LogRecords {
					c.records = append(c.records, record{l, attribute(r.Resource.Attributes, "service.name")})
				}
			}
		}
	case "/v1/metrics":
		var m metricspb.ExportMetricsServiceRequest
		if err := proto.Unmarshal(body, &m); err != nil {
			return err
		}
		for _, r := range m.ResourceMetrics {
			for _, scope := range r.ScopeMetrics {
				for _, one := range scope.Metrics {
					c.metrics[one.Name] = true
				}
			}
		}
	}
	return nil
}

// trace gives the spans of a trace, oldest first.
func (c *collector) trace(id string) []span {
	return c.find(func(s span) bool { return s.traceID() == id })
}

// of gives the spans of a name that belong to an operation, oldest first.
func (c *collector) of(name, operation string) []span {
	return c.find(func(s span) bool { return s.Name == name && s.at("writeback.operation_id") == operation })
}

func (c *collector) find(matches func(span) bool) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []span
	for _, s := range c.spans {
		if matches(s) {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
	return out
}

// awaitAll waits until the trace has a span of each name and gives them by name.
func (c *collector) awaitAll(t *testing.T, trace string, names ...string) map[string]span {
	t.Helper()
	found := map[string]span{}
	require.Eventually(t, func() bool {
		for _, s := range c.trace(trace) {
			if _, known := found[s.Name]; !known {
				found[s.Name] = s
			}
		}
		for _, name := range names {
			if _, ok := found[name]; !ok {
				return false
			}
		}
		return true
	}, 60*time.Second, 50*time.Millisecond, "trace %s lacks one of %v", trace, names)
	return found
}

// tell shows a trace for people.
func (c *collector) tell(trace string) string {
	var b strings.Builder
	for _, s := range c.trace(trace) {
		b.WriteString("\n" + s.service + " " + s.Name + " " + s.id() + " below " + s.parent())
	}
	return b.String()
}

// connected checks that every span of the trace but its root has its parent in it.
func (c *collector) connected(t *testing.T, trace string) {
	t.Helper()
	ids := map[string]bool{}
	for _, s := range c.trace(trace) {
		ids[s.id()] = true
	}
	roots := 0
	for _, s := range c.trace(trace) {
		if s.parent() == "" {
			roots++
			continue
		}
		require.True(t, ids[s.parent()], "%s hangs in the air: %s", s.Name, c.tell(trace))
	}
	require.Equal(t, 1, roots, c.tell(trace))
}
