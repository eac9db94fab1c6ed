package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/config"
	"writeback/internal/webhook"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

func TestOpenProviders_RefusesUnsafeURLs(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"http://api.samsara.com", "https://127.0.0.1", "https://10.0.0.7", "https://localhost", "https://api.samsara.com:22"} {
		s := Settings{Providers: config.Providers{BaseURLs: map[string]string{"samsara": base}}, Log: slog.New(slog.DiscardHandler)}
		require.Greater(t, callsOf(64), 64, "a slot's call finds room without waiting")
		require.Equal(t, apiCalls, callsOf(0))
		_, err := openProviders(t.Context(), s)
		require.ErrorContains(t, err, "samsara", base)
		s.Providers.ProviderLocal = true
		_, err = openProviders(t.Context(), s)
		require.NoError(t, err, "a sandbox may be anywhere")
	}
	require.Greater(t, callsOf(64), 64, "a slot's call finds room without waiting")
	require.Equal(t, apiCalls, callsOf(0))
	_, err := openProviders(t.Context(), Settings{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err, "the published hosts are fine")
}

// Where a proxy is the way out, calls of providers and of webhooks take it.
func TestEgressProxy_IsTheWayOut(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Host
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(proxy.Close)
	providers, err := openProviders(t.Context(), Settings{
		Providers:   config.Providers{BaseURLs: map[string]string{"samsara": "http://provider.example"}, ProviderLocal: true},
		EgressProxy: proxy.URL, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	samsara, ok := providers.Get("samsara")
	require.True(t, ok)
	_, err = samsara.UpdateUser(t.Context(), tsp.Connection{ID: uuid.New(), Credentials: tsp.Credentials{"access_token": "x"}},
		tsp.UserUpdate{SourceID: "7", Changes: operation.Changes{operation.FieldFirstName: operation.Text("x")}})
	require.Error(t, err, "it is refused")
	require.Len(t, asked, 1, "not through the proxy: %s", err)
	require.Equal(t, "provider.example", <-asked)

	cfg := workerSettings(t, "WRITEBACK_WEBHOOK_LOCAL=true", "WRITEBACK_EGRESS_PROXY="+proxy.URL)
	w, err := OpenWebhooks(t.Context(), openBase(t, cfg, io.Discard), cfg.Webhooks, 1)
	require.NoError(t, err)
	resp, err := w.guard.Client(10 * time.Second).Get("http://endpoint.example")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "endpoint.example", <-asked)
}

// A partner cannot have us call what is beside us, unless the configuration is a development's.
func TestOpenWebhooks_CallsNothingBesideUs(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t)
	w, err := OpenWebhooks(t.Context(), openBase(t, cfg, io.Discard), cfg.Webhooks, 1)
	require.NoError(t, err)
	_, err = w.Registry.Create(t.Context(), uuid.Must(uuid.NewV7()), webhook.New{URL: "https://127.0.0.1", EventName: webhook.EventCreated})
	require.Error(t, err)
	beside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was called") }))
	t.Cleanup(beside.Close)
	_, err = w.guard.Client(10 * time.Second).Get(beside.URL)
	require.Error(t, err)
}
