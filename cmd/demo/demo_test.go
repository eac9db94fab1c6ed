package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/devstack"
	"writeback/internal/sandbox"
	samsara "writeback/pkg/tsp/samsara/box"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func noEnv(string) string { return "" }

func TestRun_EverythingIsAsTold(t *testing.T) {
	var out, errOut bytes.Buffer
	require.Zero(t, run(t.Context(), nil, noEnv, &out, &errOut), "%s%s", &out, &errOut)
	require.Empty(t, errOut.String())
	text := out.String()
	for _, want := range []string{
		"1. ", "2. ", "3. ", "4. ", "5. ", "6. ", "7. ", "8. ", "9. ", "Samsara", "Motive", "Geotab", "Simulator",
		"coachingPlan", "joan.new", "would send", "dry_run=true", "signature right", "live tail", "attempt 3", "422", "is_sync=true", "Everything was as told",
	} {
		require.Contains(t, text, want)
	}
	require.Equal(t, 10, strings.Count(text, "ended      success"))
	require.NotContains(t, text, "\x1b[", "colour in a buffer")
	require.NotContains(t, text, "%!")
}

// TestTell_SaysWhatIsNotAsTold breaks the provider behind the demo's back.
func TestTell_SaysWhatIsNotAsTold(t *testing.T) {
	var starts sync.Mutex // a start keeps the machine busy, the stories mostly wait
	for _, tc := range []struct {
		name  string
		fault sandbox.Fault
		want  string
	}{
		{"refused", sandbox.Fault{Provider: sandbox.Motive, Status: http.StatusUnprocessableEntity}, "story 1: motive: operation"},
		{"one failure more than ordered", sandbox.Fault{Provider: sandbox.Geotab, Status: http.StatusBadGateway, Count: 1}, "story 1: geotab: the write calls were answered with [502 200], not [200]"},
		{"a success that changed nothing", sandbox.Fault{
			Provider: sandbox.Samsara, User: sandbox.UserID(1, 5), Status: http.StatusOK,
			Body: json.RawMessage(`{"data":{"id":"` + samsara.UserID(1, 5) + `"}}`),
		}, "story 1: samsara: the provider holds eldYmEnabled=false, not true"},
		{"a field lost on the way", sandbox.Fault{
			Provider: sandbox.Geotab, User: sandbox.UserID(3, 8), Status: http.StatusOK, Body: json.RawMessage(`{"result":null}`),
		}, "story 6: geotab: "},
		{"sync refused", sandbox.Fault{Provider: sandbox.Geotab, User: sandbox.UserID(3, 7), Status: http.StatusForbidden}, "story 4: geotab: the update was answered with 502, not 200"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			starts.Lock()
			stack, err := devstack.Start(t.Context(), devstack.Options{
				APIAddr: freePort, AdminAddr: freePort, SandboxAddr: freePort, Redis: devstack.RedisMemory,
			})
			starts.Unlock()
			require.NoError(t, err)
			defer func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), stopTimeout)
				defer cancel()
				require.NoError(t, stack.Stop(ctx))
			}()
			d := newDemo(stack, printer{out: io.Discard})
			defer d.close()
			require.NoError(t, d.c.fault(t.Context(), tc.fault))
			require.ErrorContains(t, d.tell(t.Context()), tc.want)
		})
	}
}

func TestRun_DeadlineAndUsage(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errOut bytes.Buffer
	require.Equal(t, 1, run(ctx, nil, noEnv, io.Discard, &errOut))
	require.Contains(t, errOut.String(), "NOT AS TOLD")
	require.Equal(t, 2, run(t.Context(), []string{"extra"}, noEnv, io.Discard, io.Discard))
	require.Equal(t, 2, run(t.Context(), []string{"-nonsense"}, noEnv, io.Discard, io.Discard))
	require.Zero(t, run(t.Context(), []string{"-help"}, noEnv, io.Discard, io.Discard))
}

func TestColourful(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull) // a character device, as a terminal is
	require.NoError(t, err)
	defer func() { _ = null.Close() }()
	file, err := os.Create(t.TempDir() + "/out")
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	with := func(name, value string) func(string) string {
		return func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		}
	}
	require.True(t, colourful(null, noEnv))
	require.False(t, colourful(null, with("NO_COLOR", "1")))
	require.False(t, colourful(null, with("TERM", "dumb")))
	require.False(t, colourful(file, noEnv))
	require.False(t, colourful(io.Discard, noEnv))
}

func TestShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0.0 ms", 400 * time.Microsecond: "0.4 ms", 42 * time.Millisecond: "42 ms", 1260 * time.Millisecond: "1.3 s",
	} {
		require.Equal(t, want, short(d))
	}
}

func TestCall_ComesAgainWhenAskedTo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		refuses int64
		after   string
		status  int
		asks    int64
	}{
		{"once", 1, "1", http.StatusOK, 2},
		{"without a time", 1, "", http.StatusTooManyRequests, 1},
		{"for ever", 100, "1", http.StatusTooManyRequests, asksMost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var asks atomic.Int64
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.JSONEq(t, `{"a":1}`, string(body))
				if asks.Add(1) <= tc.refuses {
					w.Header().Set("Retry-After", tc.after)
					w.WriteHeader(http.StatusTooManyRequests)
				}
			}))
			defer api.Close()
			c := &client{http: api.Client()}
			status, err := c.call(t.Context(), http.MethodPatch, api.URL, values{"a": 1}, nil)
			require.NoError(t, err)
			require.Equal(t, tc.status, status)
			require.Equal(t, tc.asks, asks.Load())
		})
	}
}
