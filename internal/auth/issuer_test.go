package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/auth"
	"writeback/internal/devissuer"
)

const (
	audience = "writeback"
	partner  = "00000000-0000-7000-8000-0000000000d1"
)

// issuer is a devissuer behind a real listener, which can be cut off and counts
// what it is asked.
type issuer struct {
	*devissuer.Issuer
	url   string
	down  atomic.Bool
	certs atomic.Int32
	asked atomic.Int32
}

func startIssuer(t *testing.T, down bool) *issuer {
	t.Helper()
	i := &issuer{}
	i.down.Store(down)
	srv := httptest.NewUnstartedServer(nil)
	i.url = "http://" + srv.Listener.Addr().String() + devissuer.Realm
	dev, err := devissuer.New(devissuer.Config{IssuerURL: i.url, Audience: audience})
	require.NoError(t, err)
	i.Issuer = dev
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		if strings.HasSuffix(r.URL.Path, "/certs") {
			i.certs.Add(1)
		}
		if i.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		dev.ServeHTTP(w, r)
	})
	srv.Start()
	t.Cleanup(srv.Close)
	return i
}

func (i *issuer) verifier(t *testing.T, change func(*auth.Config)) *auth.Verifier {
	t.Helper()
	cfg := auth.Config{Issuer: i.url, Audience: audience, RefreshInterval: time.Hour, RefreshGap: time.Hour, KeyWait: time.Minute}
	if change != nil {
		change(&cfg)
	}
	v, err := auth.New(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(v.Close)
	return v
}

func (i *issuer) mint(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"sub": "someone", "scope": "telematics:read telematics:write", "org": orgs("demo", partner, "partner")}
	for k, v := range claims {
		all[k] = v
	}
	token, err := i.Mint(all)
	require.NoError(t, err)
	return token
}

// known waits until the issuer's keys are known.
func known(t *testing.T, v *auth.Verifier) {
	t.Helper()
	require.Eventually(t, func() bool { return v.Check(t.Context()) == nil }, 10*time.Second, time.Millisecond)
}

// orgs builds an org claim from (name, id, type) triples; an empty type is none.
func orgs(triples ...string) map[string]any {
	out := map[string]any{}
	for n := 0; n < len(triples); n += 3 {
		types := []string{}
		if triples[n+2] != "" {
			types = append(types, triples[n+2])
		}
		out[triples[n]] = map[string]any{"id": triples[n+1], "org_type": types}
	}
	return out
}

func isInvalid(err error) bool { return errors.Is(err, auth.ErrInvalid) }
