package app_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/app"
	"writeback/internal/auth"
	"writeback/internal/config"
	"writeback/internal/grant"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// The development issuer's partner, and what the registry of these tests has of it.
const (
	partner    = "00000000-0000-7000-8000-0000000000d1"
	connection = "00000000-0000-7000-8000-0000000000c1"
	user       = "00000000-0000-7000-8000-00000000a100"
	registry   = "partners: [{id: " + partner + ", name: Demo, connections: [{id: " + connection +
		", provider: samsara, credentials: {access_token: x}, users: [{id: " + user + ", source_id: '7'}]}]}]"
)

// TestAPI_IsAsItIsConfigured has an api refuse what its variables say; no worker ends anything.
func TestAPI_IsAsItIsConfigured(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		variables []string
		body      string
		before    bool // something is outstanding before the api looks
		want      int
	}{
		"by default":     {nil, `"first_name":"Ada","nickname":"x"`, true, http.StatusAccepted},
		"strict bodies":  {[]string{"WRITEBACK_STRICT_BODIES=true"}, `"first_name":"Ada","nickname":"x"`, false, http.StatusUnprocessableEntity},
		"rate and burst": {[]string{"WRITEBACK_PARTNER_RATE=1", "WRITEBACK_PARTNER_BURST=1"}, `"first_name":"Ada"`, false, http.StatusTooManyRequests},
		"outstanding":    {[]string{"WRITEBACK_PARTNER_OUTSTANDING=1"}, `"first_name":"Ada"`, true, http.StatusTooManyRequests},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := openAPI(t, tt.variables...)
			if tt.before {
				a.outstanding()
			}
			answers := map[int]int{a.write(tt.body): 1}
			for range 50 { // more than the rate may let by meanwhile
				if name == "rate and burst" {
					answers[a.write(tt.body)]++
				}
			}
			require.Positive(t, answers[tt.want], answers)
		})
	}
}

// TestAPI_NotesWhatTheStreamsConfirm: without a note an operation is published again, and again.
func TestAPI_NotesWhatTheStreamsConfirm(t *testing.T) {
	t.Parallel()
	a := openAPI(t)
	require.Equal(t, http.StatusAccepted, a.write(`"first_name":"Ada"`))
	require.Eventually(t, func() bool {
		shards, err := a.base.Store.Shards(t.Context(), 1)
		d := redisstore.DepthOf(shards)
		return err == nil && d.Outstanding == 1 && d.Outbox == 0
	}, 30*time.Second, 10*time.Millisecond)
}

// anAPI is the handler of one, on the stores of a test.
type anAPI struct {
	t     *testing.T
	base  *app.Base
	api   *app.API
	token string
}

func openAPI(t *testing.T, variables ...string) *anAPI {
	t.Helper()
	file := filepath.Join(t.TempDir(), "registry.yaml")
	require.NoError(t, os.WriteFile(file, []byte(registry), 0o600))
	url := issuer(t)
	cfg, _, err := config.Load[config.API](append([]string{
		"WRITEBACK_NATS_URL=" + testenv.NATS(t), "WRITEBACK_REDIS_URL=" + testenv.Redis(t), "WRITEBACK_OIDC_ISSUER=" + url,
		"WRITEBACK_REGISTRY_FILE=" + file, "WRITEBACK_OPERATIONS_MAX_BYTES=64MiB", "WRITEBACK_EVENTS_MAX_BYTES=64MiB",
	}, variables...))
	require.NoError(t, err)
	a := &anAPI{t: t}
	a.base, err = app.Open(t.Context(), app.Settings{
		Name: "test", Common: cfg.Common, Streams: cfg.Streams, Providers: cfg.Providers, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(a.base.Close)
	verifier, err := auth.New(context.WithoutCancel(t.Context()), auth.Config{Issuer: cfg.OIDCIssuer})
	require.NoError(t, err)
	t.Cleanup(verifier.Close)
	a.api, err = app.NewAPI(t.Context(), a.base, cfg, verifier)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 2)
	go func() { done <- a.base.Run(ctx) }()
	go func() { done <- a.base.WatchShards(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done); require.NoError(t, <-done) })
	require.Eventually(t, func() bool {
		missing, err := a.base.Store.Missing(t.Context())
		return err == nil && len(missing) == 0
	}, 30*time.Second, 10*time.Millisecond)
	token, err := grant.Ask(t.Context(), http.DefaultClient, grant.Client{
		Endpoint: url + "/protocol/openid-connect/token", ID: "demo-partner", Secret: "demo-secret",
	})
	require.NoError(t, err)
	a.token = token.Access
	return a
}

// write sends an update of the user and gives the status of the answer.
func (a *anAPI) write(fields string) int {
	a.t.Helper()
	r := httptest.NewRequest(http.MethodPatch, "/v2/telematics/users/"+user, strings.NewReader(`{"connection_id":"`+connection+`",`+fields+`}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+a.token)
	w := httptest.NewRecorder()
	a.api.Handler.ServeHTTP(w, r.WithContext(a.t.Context()))
	return w.Code
}

// outstanding is an operation that another api took in.
func (a *anAPI) outstanding() {
	a.t.Helper()
	_, err := a.base.Store.Accept(a.t.Context(), operation.Accepted{
		Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: uuid.MustParse(partner), ConnectionID: uuid.MustParse(connection),
		Provider: "samsara", Resource: operation.ResourceUser, ResourceID: uuid.MustParse(user), SourceID: "7", Type: operation.Update,
		Changes: operation.Changes{operation.FieldFirstName: operation.Text("Ada")},
	}, redisstore.Limits{InFlight: 1, Call: time.Second, Life: time.Hour})
	require.NoError(a.t, err)
}
