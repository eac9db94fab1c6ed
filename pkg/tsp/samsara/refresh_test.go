package samsara_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/samsara"
	"writeback/pkg/tsp/tsptest"
)

var clock = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestFresh(t *testing.T) {
	t.Parallel()
	p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{})
	at := func(d time.Duration) string { return clock.Add(d).Format(time.RFC3339) }
	tests := map[string]struct {
		credentials tsp.Credentials
		want        bool
	}{
		"API token":                   {tsp.Credentials{"access_token": token}, true},
		"API token with an end":       {tsp.Credentials{"access_token": token, "expires_at": at(-time.Hour)}, true},
		"nothing":                     {nil, true},
		"end not known":               {oauth(""), true},
		"lives":                       {oauth(at(61 * time.Second)), true},
		"about to end":                {oauth(at(60 * time.Second)), false},
		"over":                        {oauth(at(-time.Second)), false},
		"end in another zone":         {oauth("2026-11-24T14:00:00+02:00"), false},
		"end that cannot be read":     {oauth("soon"), false},
		"refresh token only":          {tsp.Credentials{"refresh_token": "r"}, false},
		"refresh token, later end":    {tsp.Credentials{"refresh_token": "r", "expires_at": at(time.Hour)}, false},
		"code only":                   {tsp.Credentials{"auth_code": "c"}, false},
		"fractional seconds are read": {oauth(clock.Add(time.Hour).Format(time.RFC3339Nano)), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, p.Fresh(tt.credentials, clock))
		})
	}
}

// refresh exchanges the tokens at a provider that gives the answer, and gives the
// request as well.
func refresh(t *testing.T, c tsp.Credentials, status int, answer string) (tsp.Credentials, *http.Request, url.Values, error) {
	t.Helper()
	var got *http.Request
	var form url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read: %v", err)
		}
		got = r
		form, _ = url.ParseQuery(string(body))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL, Now: func() time.Time { return clock }})
	fresh, err := p.Refresh(t.Context(), tsp.Connection{Credentials: c})
	return fresh, got, form, err
}

func TestRefresh_Request(t *testing.T) {
	t.Parallel()
	c := oauth("")
	c["refresh_token"] = "r&=+ /é"
	fresh, r, form, err := refresh(t, c, 200, `{"access_token":"a2","refresh_token":"r2","expires_in":3600,"scope":"x","token_type":"bearer"}`)
	require.NoError(t, err)
	require.Equal(t, "POST /oauth2/token", r.Method+" "+r.RequestURI)
	require.Equal(t, "application/x-www-form-urlencoded", r.Header.Get("Content-Type"))
	id, secret, ok := r.BasicAuth()
	require.True(t, ok)
	require.Equal(t, []string{"client-1", "planted-secret"}, []string{id, secret})
	require.Equal(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"r&=+ /é"}}, form)
	require.Equal(t, tsp.Credentials{
		"access_token": "a2", "refresh_token": "r2", "client_id": "client-1", "client_secret": "planted-secret",
		"expires_at": "2026-11-24T13:00:00Z",
	}, fresh)
}

func TestRefresh_ExchangesTheCodeOnce(t *testing.T) {
	t.Parallel()
	c := tsp.Credentials{"auth_code": "c&=", "client_id": "client-1", "client_secret": "planted-secret"}
	fresh, r, form, err := refresh(t, c, 200, `{"access_token":"a1","refresh_token":"r1","expires_in":3600}`)
	require.NoError(t, err)
	require.Equal(t, url.Values{"grant_type": {"authorization_code"}, "code": {"c&="}}, form)
	_, _, basic := r.BasicAuth()
	require.True(t, basic)
	require.Equal(t, tsp.Credentials{
		"access_token": "a1", "refresh_token": "r1", "client_id": "client-1", "client_secret": "planted-secret",
		"expires_at": "2026-11-24T13:00:00Z",
	}, fresh)

	fresh["auth_code"] = "spent"
	_, _, form, err = refresh(t, fresh, 200, `{"access_token":"a2","refresh_token":"r2","expires_in":3600}`)
	require.NoError(t, err)
	require.Equal(t, "r1", form.Get("refresh_token"), "a refresh token goes first")
}

func TestRefresh_Answers(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string][2]string{ // refresh token, end
		`{"access_token":"a2","refresh_token":"r2","expires_in":60}`:    {"r2", "2026-11-24T12:01:00Z"},
		`{"access_token":"a2","refresh_token":"r2","expires_in":1.5}`:   {"r2", "2026-11-24T12:00:01Z"},
		`{"access_token":"a2","refresh_token":"r2"}`:                    {"r2", ""},
		`{"access_token":"a2","refresh_token":"r2","expires_in":0}`:     {"r2", ""},
		`{"access_token":"a2","refresh_token":"r2","expires_in":-7}`:    {"r2", ""},
		`{"access_token":"a2","expires_in":60}`:                         {"planted-refresh", "2026-11-24T12:01:00Z"},
		`{"access_token":"a2","refresh_token":"r2","expires_in":1e300}`: {"r2", "2036-11-21T12:00:00Z"},
		`{"access_token":"a2","refresh_token":"r2","expires_in":"60"}`:  {"r2", "2026-11-24T12:01:00Z"},
		`{"access_token":"a2","refresh_token":"r2","expires_in":{}}`:    {"r2", ""},
	} {
		fresh, _, _, err := refresh(t, oauth("2026-01-01T00:00:00Z"), 200, answer)
		require.NoError(t, err, answer)
		require.Equal(t, want, [2]string{fresh["refresh_token"], fresh["expires_at"]}, answer)
	}
}

func TestRefresh_Refused(t *testing.T) {
	t.Parallel()
	for body, detail := range map[string]string{
		`{"error":"invalid_grant","error_description":"planted-refresh"}`: "samsara: refresh token: the provider answered 400: invalid_grant",
		`{"error":"planted-refresh is spent"}`:                            "samsara: refresh token: the provider answered 400",
		`{"message":"planted-secret"}`:                                    "samsara: refresh token: the provider answered 400",
		`planted page`:                                                    "samsara: refresh token: the provider answered 400",
	} {
		_, _, _, err := refresh(t, oauth(""), 400, body)
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorAuth, f.Type)
		require.False(t, f.Retryable || f.Refresh)
		require.Equal(t, detail, f.Detail)
	}
}

func TestRefresh_WithoutWhatItNeeds(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{
		"refresh_token": "no refresh token", "client_id": "no client id", "client_secret": "no client secret",
	} {
		c := oauth("")
		delete(c, name)
		_, r, _, err := refresh(t, c, 200, "")
		f := tsptest.Failure(t, err)
		require.Nil(t, r, "no call may be made")
		require.Equal(t, operation.ErrorAuth, f.Type)
		require.False(t, f.Retryable)
		require.Contains(t, f.Detail, words)
	}
}
