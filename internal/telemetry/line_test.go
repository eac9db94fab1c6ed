package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
)

func logger(t *testing.T) (*slog.Logger, func() map[string]any) {
	t.Helper()
	var out bytes.Buffer
	log := newLogger(Config{Service: "svc", Version: "v1", Output: &out}, nil)
	return log, func() map[string]any {
		t.Helper()
		defer out.Reset()
		require.NoError(t, once(json.NewDecoder(bytes.NewReader(out.Bytes()))), out.String())
		var line map[string]any
		require.NoError(t, json.Unmarshal(out.Bytes(), &line))
		delete(line, "time")
		return line
	}
}

// once fails for an object that has a key twice.
func once(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil || token != json.Delim('{') {
		return err
	}
	seen := map[any]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%v twice", key)
		}
		seen[key] = true
		if err := once(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func TestLine_NoKeyTwice(t *testing.T) {
	t.Parallel()
	traceID, spanID := trace.TraceID{1}, trace.SpanID{2}
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID}))
	log, line := logger(t)

	log.With("a", 1, "b", 2).With("a", 3).InfoContext(ctx, "m", "b", 4, "c", 5, "c", 6)
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "m", "service": "svc", "version": "v1",
		"trace_id": traceID.String(), "span_id": spanID.String(), "a": 3.0, "b": 4.0, "c": 6.0,
	}, line())

	log.InfoContext(ctx, "m", "trace_id", "mine", "version", "v2", "msg", "no", "level", "no", "version", "v3")
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "m", "service": "svc", "version": "v1", "trace_id": traceID.String(), "span_id": spanID.String(),
		"attr.trace_id": "mine", "attr.version": "v3", "attr.msg": "no", "attr.level": "no",
	}, line(), "nothing hides what a line says of itself")

	log.With("x", 1).WithGroup("g").With("y", 1).InfoContext(ctx, "m", "y", 2, slog.Group("h", "z", 1, "z", 2), slog.Group("", "y", 3))
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "m", "service": "svc", "version": "v1", "trace_id": traceID.String(), "span_id": spanID.String(),
		"x": 1.0, "g": map[string]any{"y": 3.0, "h": map[string]any{"z": 2.0}},
	}, line(), "ids stand at the top, groups are unique in themselves")

	log.With("g", 1).Info("m", slog.Group("g", "a", 1))
	require.Equal(t, map[string]any{"a": 1.0}, line()["g"])
}

// person is a record that was not made to be logged.
type person struct{ Phone string }

type masked struct{ secret string }

func (masked) LogValue() slog.Value { return slog.StringValue("masked") }

type kind string

func TestLine_ShowsValuesByTheirType(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	address, err := url.Parse("https://user:pw@host.example/path?token=SECRET")
	require.NoError(t, err)
	called := &url.Error{Op: "Patch", URL: "https://host.example/drivers/4711?key=SECRET", Err: errors.New("refused")}
	other := &url.Error{Op: "Get", URL: "https://user.example/?token=SECRET", Err: errors.New("refused")}
	log, line := logger(t)
	for name, tt := range map[string]struct{ in, want any }{
		"id": {id, id.String()}, "kind": {kind("auth"), "auth"}, "number": {7, 7.0}, "flag": {true, true}, "list": {[]int{1, 2}, []any{1.0, 2.0}},
		"map": {map[string]int{"a": 1}, map[string]any{"a": 1.0}}, "nothing": {nil, nil}, "nil pointer": {(*url.URL)(nil), ""},
		"nil text": {(*uuid.UUID)(nil), nil}, "time": {time.Unix(0, 0).UTC(), "1970-01-01T00:00:00Z"}, "duration": {1500 * time.Millisecond, "1.5s"},
		"bytes": {[]byte("SECRET"), "[6 bytes]"}, "json": {json.RawMessage(`"SECRET"`), "[json.RawMessage]"}, "url": {address, "https://host.example"},
		"header":  {http.Header{"Authorization": {"SECRET"}}, "[http.Header]"},
		"request": {&http.Request{}, "[*http.Request]"}, "error": {errors.New("plain"), "plain"},
		"url error":      {fmt.Errorf("samsara: %w", called), `samsara: Patch "https://host.example": refused`},
		"several":        {errors.Join(errors.New("first"), called, other), "first\nPatch \"https://host.example\": refused\nGet \"https://user.example\": refused"},
		"one in another": {&url.Error{Op: "Get", URL: "http://a.example/SECRET", Err: called}, `Get "http://a.example": Patch "https://host.example": refused`},
		"in a text":      {errors.New("moved to https://u:SECRET@b.example:8443/p?k=SECRET, or redis://:SECRET@c.example/0"), "moved to https://b.example:8443, or redis://c.example"},
		"an odd one":     {&url.Error{Op: "parse", URL: "https://b.example/%zz SECRET", Err: errors.New("invalid")}, `parse "[url]": invalid`},
		"an address":     {errors.New("dial tcp [::1]:6379: connection refused"), "dial tcp [::1]:6379: connection refused"},
		"person":         {person{"SECRET"}, "[telemetry.person]"}, "people": {[]person{{"SECRET"}}, "[[]telemetry.person]"},
		"pointer": {&person{"SECRET"}, "[*telemetry.person]"}, "masked": {masked{"SECRET"}, "masked"},
		"group of people": {slog.GroupValue(slog.Any("p", person{"SECRET"})), map[string]any{"p": "[telemetry.person]"}},
	} {
		log.Info("m", "v", tt.in)
		require.Equal(t, tt.want, line()["v"], name)
	}
}

func BenchmarkLine(b *testing.B) {
	log := newLogger(Config{Service: "svc", Version: "v1", Output: discard{}}, nil)
	id := uuid.New()
	b.ReportAllocs()
	for b.Loop() {
		log.InfoContext(b.Context(), "attempt", "operation_id", id, "connection_id", id, "partner_id", id, "provider", "samsara",
			"attempt", 1, "attempt_id", id, "duration_ms", 12, "status_code", 200)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
