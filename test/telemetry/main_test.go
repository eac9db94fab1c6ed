package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/sandbox"
	"writeback/test/e2e/stack"
	"writeback/test/otlp"
)

// rig is a stack whose programs send to a collector.
type rig struct {
	*stack.Stack
	t         *testing.T
	collector *otlp.Receiver
	hook      *httptest.Server
}

// TestTelemetry runs on one stack: its parts are in order, since they look at what
// those before them left.
func TestTelemetry(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs programs of its own")
	}
	c := otlp.Start(t)
	r := &rig{t: t, collector: c, hook: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.WriteHeader(http.StatusNoContent)
	}))}
	t.Cleanup(r.hook.Close)
	r.Stack = stack.Start(t, stack.Options{
		APIs: 1, Workers: 1,
		Registry: stack.Registry{Limits: history.Limits{InFlight: 8, PerSecond: 100, Burst: 20, Call: 3 * time.Second}, Users: 9},
		Environ: append(c.Environ(),
			"WRITEBACK_WEBHOOK_LOCAL=true", "WRITEBACK_ROLES=operations,webhooks,sync", "WRITEBACK_LOG_LEVEL=debug", "WRITEBACK_SYNC_EVERY=1h",
			"OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_BLRP_SCHEDULE_DELAY=100", "OTEL_METRIC_EXPORT_INTERVAL=500",
		),
	})
	r.subscribe()
	for _, part := range []struct {
		name string
		look func(*rig)
	}{
		{"success", (*rig).success}, {"woken", (*rig).woken}, {"retry", (*rig).retry}, {"failure", (*rig).failure}, {"sync", (*rig).sync},
		{"not sampled", (*rig).unsampled}, {"over OTLP", (*rig).overOTLP}, {"scrape", (*rig).scrape}, {"log lines", (*rig).lines},
		{"collector away", (*rig).away},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			one := *r
			one.t = t
			part.look(&one)
		})
		if !ok {
			return
		}
	}
}

const connection = 1 // of Samsara

// ask makes a request as the partner; into may be nil.
func (r *rig) ask(method, path, body string, header http.Header, into any) (int, http.Header) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.APIs[0].URL+path, strings.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+r.Token(sandbox.ConnectionID(connection)))
	for name := range header {
		req.Header.Set(name, header.Get(name))
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	if into != nil {
		require.NoError(r.t, json.Unmarshal(text, into), "%d %s", resp.StatusCode, text)
	}
	return resp.StatusCode, resp.Header
}

func (r *rig) subscribe() {
	r.t.Helper()
	status, _ := r.ask(http.MethodPost, "/v2/notifications/webhooks",
		fmt.Sprintf(`{"url":%q,"event_name":"resource_operation.*"}`, r.hook.URL+"/hook?token=SECRETTOKEN"), nil, nil)
	require.Equal(r.t, http.StatusOK, status)
}

// view is what the tests read of an operation.
type view struct {
	ID     string
	Status string
	Logs   []struct {
		Status  string
		TraceID string `json:"trace_id"`
	}
}

// write updates a user and gives the operation and its trace.
func (r *rig) write(user int, query string, header http.Header) (v view, trace string) {
	r.t.Helper()
	status, got := r.ask(http.MethodPatch, "/v2/telematics/users/"+sandbox.UserID(connection, user)+query,
		fmt.Sprintf(`{"connection_id":%q,"first_name":"Ada","last_name":"SECRETNAME","phone":"+15550100"}`, sandbox.ConnectionID(connection)), header, &v)
	require.Contains(r.t, []int{http.StatusOK, http.StatusAccepted}, status)
	trace = got.Get("X-Trace-Id")
	require.Len(r.t, trace, 32)
	return v, trace
}

// ended waits for the end of an operation.
func (r *rig) ended(id string) (v view) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		r.ask(http.MethodGet, "/v2/integrations/connections/"+sandbox.ConnectionID(connection)+"/resource-operations/"+id, "", nil, &v)
		return v.Status != "pending"
	}, 90*time.Second, 50*time.Millisecond)
	return v
}
