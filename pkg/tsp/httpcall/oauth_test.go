package httpcall

import (
	"testing"
	"time"

	"writeback/pkg/tsp"
)

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
