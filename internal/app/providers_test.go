package app

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
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
