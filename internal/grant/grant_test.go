package grant_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/devissuer"
	"writeback/internal/grant"
)

func TestAsk(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	url := "http://" + server.Listener.Addr().String()
	issuer, err := devissuer.New(devissuer.Config{IssuerURL: url + devissuer.Realm})
	require.NoError(t, err)
	server.Config.Handler = issuer
	server.Start()
	t.Cleanup(server.Close)
	c := grant.Client{Endpoint: url + devissuer.Realm + "/protocol/openid-connect/token", ID: "demo-partner", Secret: "demo-secret"}

	token, err := grant.Ask(t.Context(), http.DefaultClient, c)
	require.NoError(t, err)
	require.NotEmpty(t, token.Access)
	require.Equal(t, 5*time.Minute, token.Life)

	c.Secret = "planted-secret"
	_, err = grant.Ask(t.Context(), http.DefaultClient, c)
	require.ErrorContains(t, err, "401")
	require.NotContains(t, err.Error(), c.Secret)
	c.Endpoint = "http://127.0.0.1:1/token"
	_, err = grant.Ask(t.Context(), http.DefaultClient, c)
	require.Error(t, err)
	require.NotContains(t, err.Error(), c.Secret)
}

func TestAsk_AnswerWithoutAToken(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}", "<html>"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		t.Cleanup(server.Close)
		_, err := grant.Ask(t.Context(), http.DefaultClient, grant.Client{Endpoint: server.URL})
		require.ErrorContains(t, err, "no access_token", body)
	}
}
