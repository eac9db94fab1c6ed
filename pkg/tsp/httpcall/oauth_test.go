package httpcall

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

func TestFreshToken(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		token, end string
		want       bool
	}{
		{"a", "", true}, {"", "", false}, {"", "2026-01-02T00:00:00Z", false}, {"a", "2026-01-02T00:00:00Z", true}, {"a", "soon", false},
		{"a", "2026-01-01T00:01:00Z", false}, {"a", "2026-01-01T00:01:01Z", true}, {"a", "2025-12-31T00:00:00Z", false},
	} {
		require.Equal(t, tt.want, FreshToken(tsp.Credentials{CredToken: tt.token, CredExpires: tt.end}, now), "%q until %q", tt.token, tt.end)
	}
}

func TestToken_Into(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	old := tsp.Credentials{CredToken: "old", CredRefresh: "old-r", CredExpires: "2025-01-01T00:00:00Z", "client_id": "c"}
	for body, want := range map[string][3]string{
		`{"access_token":"a","refresh_token":"r","expires_in":3600}`: {"a", "r", "2026-01-01T01:00:00Z"},
		`{"access_token":"a","expires_in":"7200"}`:                   {"a", "old-r", "2026-01-01T02:00:00Z"},
		`{"access_token":"a"}`:                                       {"a", "old-r", ""},
		`{"access_token":"a","expires_in":0}`:                        {"a", "old-r", ""},
		`{"access_token":"a","expires_in":-5}`:                       {"a", "old-r", ""},
		`{"access_token":"a","expires_in":{}}`:                       {"a", "old-r", ""},
		`{"access_token":"a","expires_in":1e300}`:                    {"a", "old-r", now.Add(maxLife).Format(time.RFC3339)},
	} {
		token, ok := Answer{Body: []byte(body)}.Token()
		require.True(t, ok, body)
		got := token.Into(old, now)
		require.Equal(t, want, [3]string{got[CredToken], got[CredRefresh], got[CredExpires]}, body)
		require.Equal(t, "c", got["client_id"])
		require.Equal(t, "old", old[CredToken], "what it was made from stays")
	}
	for _, body := range []string{``, `[]`, `{}`, `{"access_token":""}`, `{"access_token":"a","refresh_token":7}`} {
		_, ok := Answer{Body: []byte(body)}.Token()
		require.False(t, ok, body)
	}
}

// TestRefuseToken: only what a provider says of the credentials is the end of a connection.
func TestRefuseToken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status    int
		kind      operation.ErrorType
		retryable bool
	}{
		{400, operation.ErrorAuth, false}, {401, operation.ErrorAuth, false}, {403, operation.ErrorAuth, false}, {422, operation.ErrorAuth, false},
		{404, operation.ErrorTSP, true}, {405, operation.ErrorTSP, true}, {429, operation.ErrorTSP, true}, {500, operation.ErrorTSP, true},
	} {
		f := Answer{Status: tt.status, Body: []byte(`{"error":"invalid_grant"}`)}.RefuseToken("test: refresh")
		require.Equal(t, tt.kind, f.Type, tt.status)
		require.Equal(t, tt.retryable, f.Retryable, tt.status)
		require.False(t, f.Refresh, tt.status)
		require.Contains(t, f.Detail, ": invalid_grant")
	}
	for _, body := range []string{`{"error":"planted secret"}`, `{"error":"Planted-1"}`, `{"error":7}`, `planted`, `{"error_description":"planted"}`} {
		require.NotContains(t, Answer{Status: 400, Body: []byte(body)}.RefuseToken("test: refresh").Detail, "lanted", body)
	}
}

func FuzzToken(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"a","refresh_token":"r","expires_in":3600}`, `{"access_token":"a","expires_in":"1e999"}`,
		`{"access_token":"a","expires_in":NaN}`, `{"error":"invalid_grant"}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := Answer{Status: 200, Body: body}
		if c := oauthCode(body); c != "" && !code.MatchString(c) {
			t.Errorf("code %q", c)
		}
		token, ok := answer.Token()
		if !ok {
			return
		}
		fresh := token.Into(tsp.Credentials{CredRefresh: "old"}, now)
		if fresh[CredRefresh] == "" || fresh[CredToken] == "" {
			t.Error("a token is lost")
		}
		if end, said := fresh[CredExpires]; said {
			if at, err := time.Parse(time.RFC3339, end); err != nil || at.Before(now) || at.Sub(now) > maxLife {
				t.Errorf("end %q of %s", end, body)
			}
		}
	})
}
