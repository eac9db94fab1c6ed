package telemetry_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"writeback/internal/telemetry"
)

func admin(cfg telemetry.AdminConfig) *telemetry.Admin {
	return (&telemetry.Telemetry{Registry: prometheus.NewRegistry()}).Admin(cfg)
}

type checks = map[string]func(context.Context) error

func good(context.Context) error { return nil }

func TestAdmin_Ready(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for _, tt := range []struct {
		name   string
		checks checks
		status int
		want   string
	}{
		{"nothing to check", nil, 200, `{"status":"ok","checks":{}}`},
		{"all good", checks{"redis": good, "nats": good}, 200, `{"status":"ok","checks":{"nats":"ok","redis":"ok"}}`},
		{
			"one fails", checks{"redis": good, "nats": func(context.Context) error { return errors.New("no servers\ndetail") }},
			503, `{"status":"unavailable","checks":{"nats":"no servers","redis":"ok"}}`,
		},
		{
			"one heeds its deadline", checks{"nats": func(ctx context.Context) error { <-ctx.Done(); return errors.New("no answer in time") }},
			503, `{"status":"unavailable","checks":{"nats":"no answer in time"}}`,
		},
		{
			"one does not", checks{"nats": func(context.Context) error { <-release; return nil }},
			503, `{"status":"unavailable","checks":{"nats":"no answer in time"}}`,
		},
		{
			"one panics", checks{"nats": func(context.Context) error { panic("oh") }},
			503, `{"status":"unavailable","checks":{"nats":"check panicked: oh"}}`,
		},
		{
			"a sly one", checks{"nats": func(context.Context) error { return errors.New("ok") }},
			503, `{"status":"unavailable","checks":{"nats":"failed"}}`,
		},
		{
			"a long one", checks{"nats": func(context.Context) error { return errors.New(strings.Repeat("x", 1000)) }},
			503, `{"status":"unavailable","checks":{"nats":"` + strings.Repeat("x", 200) + `..."}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := telemetry.AdminConfig{Checks: tt.checks, CheckTimeout: time.Minute}
			if strings.Contains(tt.want, "in time") {
				cfg.CheckTimeout = time.Millisecond
			}
			status, body := get(t, admin(cfg), "/readyz")
			require.Equal(t, tt.status, status)
			require.JSONEq(t, tt.want, body)
		})
	}
}

func TestAdmin_Draining(t *testing.T) {
	t.Parallel()
	a := admin(telemetry.AdminConfig{Checks: checks{"redis": good}})
	a.SetDraining()
	status, body := get(t, a, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"status":"draining","checks":{"redis":"ok"}}`, body)
	status, _ = get(t, a, "/healthz")
	require.Equal(t, http.StatusOK, status)
}

func TestAdmin_StartingThenStarted(t *testing.T) {
	t.Parallel()
	a := admin(telemetry.AdminConfig{Starting: true})
	status, body := get(t, a, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"status":"starting","checks":{}}`, body)
	status, _ = get(t, a, "/healthz")
	require.Equal(t, http.StatusOK, status)
	a.Waiting("streams", nil)
	a.Waiting("directory", &url.Error{Op: "Get", URL: "http://host/secret", Err: errors.New("refused")})
	status, body = get(t, a, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"status":"starting","checks":{"streams":"ok","directory":"Get \"http://host\": refused"}}`, body)
	a.Started(telemetry.AdminConfig{Checks: checks{"redis": good}})
	status, body = get(t, a, "/readyz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"status":"ok","checks":{"redis":"ok"}}`, body)
}

func TestAdmin_ToleratedIsDegradedAndReady(t *testing.T) {
	t.Parallel()
	away := func(context.Context) error { return errors.New("not connected") }
	status, body := get(t, admin(telemetry.AdminConfig{Checks: checks{"redis": good}, Tolerated: checks{"nats": away}}), "/readyz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"status":"degraded","checks":{"redis":"ok","nats":"degraded: not connected"}}`, body)
	status, body = get(t, admin(telemetry.AdminConfig{Checks: checks{"redis": away}, Tolerated: checks{"nats": away}}), "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"status":"unavailable","checks":{"redis":"not connected","nats":"degraded: not connected"}}`, body)
}

func TestAdmin_AliveAsksNobody(t *testing.T) {
	t.Parallel()
	a := admin(telemetry.AdminConfig{Checks: checks{"redis": func(context.Context) error {
		t.Error("asked")
		return nil
	}}})
	status, body := get(t, a, "/healthz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"status":"ok"}`, body)
}

func TestAdmin_Routes(t *testing.T) {
	t.Parallel()
	a := admin(telemetry.AdminConfig{})
	for path, want := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/cmdline": 200, "/metrics": 200, "/": 404, "/other": 404,
	} {
		status, _ := get(t, a, path)
		require.Equal(t, want, status, path)
	}
}
