package auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/auth"
	"writeback/internal/devissuer"
)

// BenchmarkStepVerify checks a token: one that was seen before, as almost all are,
// and one whose signature has to be verified.
func BenchmarkStepVerify(b *testing.B) {
	var dev *devissuer.Issuer
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { dev.ServeHTTP(w, r) }))
	b.Cleanup(srv.Close)
	url := srv.URL + devissuer.Realm
	for _, algorithm := range []string{"RS256", "ES256"} {
		var err error
		dev, err = devissuer.New(devissuer.Config{IssuerURL: url, Audience: audience, Algorithm: algorithm, TokenTTL: time.Hour})
		require.NoError(b, err)
		token, err := dev.Mint(map[string]any{"sub": "someone", "scope": "telematics:write", "org": orgs("demo", partner, "partner")})
		require.NoError(b, err)
		for name, size := range map[string]int{"seen": 100, "new": 1} {
			v, err := auth.New(b.Context(), auth.Config{Issuer: url, Audience: audience, CacheSize: size})
			require.NoError(b, err)
			b.Cleanup(v.Close)
			tokens := []string{token}
			if name == "new" { // two tokens push each other out
				other, err := dev.Mint(map[string]any{"sub": "another", "scope": "telematics:write", "org": orgs("demo", partner, "partner")})
				require.NoError(b, err)
				tokens = append(tokens, other)
			}
			b.Run(algorithm+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := v.Verify(b.Context(), tokens[i%len(tokens)]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
