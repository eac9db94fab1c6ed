package geotab_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/geotab"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
)

// TestUpdate_KeepsWhatItDoesNotKnow compares the bytes of every key: an unknown
// key, or a number that no float holds, goes back exactly as it came.
func TestUpdate_KeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	read := tsptest.File(t, "testdata/driver.json")
	var sent []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || bytes.Contains(body, []byte(`"Get"`)) {
			_, _ = io.WriteString(w, read)
			return
		}
		sent = body
		_, _ = io.WriteString(w, `{"result":null}`)
	}))
	t.Cleanup(server.Close)
	p := geotab.New(httpcall.New(httpcall.Config{}), geotab.Config{BaseURL: server.URL, Now: clock})
	_, err := p.UpdateUser(t.Context(), tsp.Connection{Credentials: credentials()},
		tsp.UserUpdate{SourceID: userID, Changes: changes{operation.FieldFirstName: text("Ann")}})
	require.NoError(t, err)

	var was struct{ Result []map[string]json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(read), &was))
	var is struct {
		Params struct{ Entity map[string]json.RawMessage }
	}
	require.NoError(t, json.Unmarshal(sent, &is))
	require.Len(t, is.Params.Entity, len(was.Result[0]))
	for key, raw := range was.Result[0] {
		if key == "firstName" {
			raw = json.RawMessage(`"Ann"`)
		}
		require.Equal(t, string(raw), string(is.Params.Entity[key]), key)
	}
}

func TestUpdate_Repeat(t *testing.T) {
	t.Parallel()
	// The earlier attempt had added the ruleset; only the answer was lost.
	read := reading(`"hosRuleSet":"America7Day","firstName":"Ann"`)
	server := tsptest.NewServer(t, getting(read), setting(t, read, `{"firstName":"Ann"}`))
	p := geotab.New(httpcall.New(httpcall.Config{}), geotab.Config{BaseURL: server.URL, Now: clock})
	_, err := p.UpdateUser(t.Context(), tsp.Connection{Credentials: credentials()}, tsp.UserUpdate{
		SourceID: userID, Repeat: true, Changes: changes{
			operation.FieldFirstName: text("Ann"), operation.FieldHOSRulesetCode: text("US_INT_PROP_60_7"),
		},
	})
	require.NoError(t, err)
}

func TestUpdate_PartialOutcome(t *testing.T) {
	t.Parallel()
	read := reading(`"hosRuleSet":"None"`)
	failed := adding(t, "HosRuleSetAmerica7Day")
	failed.Answer = failing(t, "ArgumentException", "no such ruleset")
	ruleset := operation.FieldHOSRulesetCode
	_, err := update(t, nil, changes{operation.FieldFirstName: text("Ann"), ruleset: text("US_INT_PROP_60_7")},
		getting(read), setting(t, read, `{"firstName":"Ann"}`), failed)
	require.Equal(t, "partly written: the other fields were, hos_ruleset_code is not confirmed: "+
		"geotab: add ruleset: ArgumentException: no such ruleset", refusal(t, err).Detail)

	_, err = update(t, nil, changes{ruleset: text("US_INT_PROP_60_7")}, getting(read), failed)
	require.Equal(t, "geotab: add ruleset: ArgumentException: no such ruleset", refusal(t, err).Detail)
}

func TestUpdate_Read(t *testing.T) {
	t.Parallel()
	c := changes{operation.FieldFirstName: text("Ann")}
	_, err := update(t, nil, c, getting(`{"result":[]}`))
	f := refusal(t, err)
	require.Equal(t, "geotab: read user: user not found at the provider", f.Detail)
	require.Equal(t, http.StatusOK, f.StatusCode)
	for _, answer := range []string{
		`{"result":null}`, `{"result":{}}`, `{"result":[{}]}`, `{"result":[{"id":"b5CE2"}]}`, `{"result":[null]}`,
		`{"result":[{"id":"b5CE1"},{"id":"b5CE1"}]}`, `{"result":[{"id":5}]}`,
	} {
		_, err := update(t, nil, c, getting(answer))
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorTSP, f.Type, answer)
		require.True(t, f.Retryable, answer)
	}
	_, err = update(t, nil, changes{operation.FieldLicenseExpiration: null(), operation.FieldLicenseNumber: text("X9")},
		getting(failing(t, "GenericException", "down")))
	require.Contains(t, refusal(t, err).Detail, "license_expiration: ")
}

func TestUpdate_Errors(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]operation.Failure{
		"InvalidUserException":        {Type: operation.ErrorAuth, Refresh: true},
		"InvalidPermissionsException": {Type: operation.ErrorAuth},
		"SecurityException":           {Type: operation.ErrorAuth},
		"OverLimitException":          {Type: operation.ErrorTSP, Retryable: true},
		"DbUnavailableException":      {Type: operation.ErrorTSP, Retryable: true},
		"GenericException":            {Type: operation.ErrorTSP, Retryable: true},
		"SomethingNew":                {Type: operation.ErrorTSP, Retryable: true},
		"<b>not a name</b>":           {Type: operation.ErrorTSP, Retryable: true},
		"ArgumentException":           {Type: operation.ErrorValidation},
		"ArgumentNullException":       {Type: operation.ErrorValidation},
		"JsonSerializerException":     {Type: operation.ErrorValidation},
		"DuplicateException":          {Type: operation.ErrorValidation},
		"RelationViolatedException":   {Type: operation.ErrorValidation},
		"MissingMethodException":      {Type: operation.ErrorValidation},
	} {
		// Each of the two places names the type, also alone.
		full := failing(t, name, "5550100144 by "+login)
		for _, body := range []string{
			full, `{"error":{"errors":[{"name":"` + name + `"}]}}`, `{"error":{"data":{"type":"` + name + `"}}}`,
		} {
			_, err := update(t, nil, changes{operation.FieldPhoneNumber: text("+1 555 010 0144")}, getting(body))
			f := tsptest.Failure(t, err)
			require.Equal(t, want.Type, f.Type, name)
			require.Equal(t, want.Retryable, f.Retryable, name)
			require.Equal(t, want.Refresh, f.Refresh, name)
			for _, hidden := range []string{login, "5550100144", "<b>"} {
				require.NotContains(t, f.Detail, hidden)
			}
		}
	}
	limited := getting(tsptest.File(t, "testdata/error_overlimit.json"))
	limited.AnswerHeader = map[string]string{"Retry-After": "58", "X-Rate-Limit-Remaining": "0"}
	_, err := update(t, nil, changes{operation.FieldFirstName: text("Ann")}, limited)
	f := tsptest.Failure(t, err)
	require.InDelta(t, 58, f.RetryAfter.Seconds(), 0)
	require.Equal(t, "0", f.Header["X-Rate-Limit-Remaining"])
}

// TestDatabaseThatStaysAway: a database that has moved is away for ever at the host
// that the session came with, and only a login says where it is, or that there is none.
func TestDatabaseThatStaysAway(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, failing(t, "DbUnavailableException", "UnknownDatabase: not here"))
	}))
	t.Cleanup(server.Close)
	p := geotab.New(httpcall.New(httpcall.Config{}), geotab.Config{BaseURL: server.URL, Now: clock})
	conn := tsp.Connection{Credentials: credentials()}
	update := func(repeat bool) error {
		_, err := p.UpdateUser(t.Context(), conn, tsp.UserUpdate{
			SourceID: userID, Repeat: repeat, Changes: changes{operation.FieldFirstName: text("Ann")},
		})
		return err
	}
	create := func(repeat bool) error {
		_, err := p.CreateUser(t.Context(), conn, tsp.UserCreate{Repeat: repeat, Changes: changes{
			operation.FieldUsername: text("ann@example.com"), operation.FieldFirstName: text("Ann"), operation.FieldLastName: text("Lee"),
		}})
		return err
	}
	_, listed := p.ListUsers(t.Context(), conn, "")
	conn.Credentials["session_since"] = clock().Add(-time.Minute).Format(time.RFC3339)
	soon := update(true)
	conn.Credentials["session_since"] = clock().Add(-time.Hour).Format(time.RFC3339)
	later := update(true)
	for name, c := range map[string]struct {
		err     error
		refresh bool
	}{
		"update": {update(false), false}, "update again": {update(true), true},
		"create": {create(false), false}, "create again": {create(true), true},
		"list, which is not told of earlier tries": {listed, true},
		"again, soon after a login":                {soon, false}, "again, long after one": {later, true},
	} {
		f := tsptest.Failure(t, c.err)
		require.Equal(t, operation.ErrorTSP, f.Type, name)
		require.True(t, f.Retryable, name)
		require.Equal(t, c.refresh, f.Refresh, name)
	}
}

const loginBody = `{"method":"Authenticate","params":{"database":"acme","userName":"` + login + `","password":"` + password + `"}}`

func refresh(t *testing.T, creds tsp.Credentials, exchanges ...tsptest.Exchange) (string, tsp.Credentials, error) {
	t.Helper()
	server := tsptest.NewServer(t, exchanges...)
	p := geotab.New(httpcall.New(httpcall.Config{}), geotab.Config{BaseURL: server.URL, Now: clock})
	fresh, err := p.Refresh(t.Context(), tsp.Connection{Credentials: creds})
	return strings.TrimPrefix(server.URL, "http://"), fresh, err
}

func path(p string) string {
	return `{"result":{"path":"` + p + `","credentials":{"sessionId":"planted-new-session"}}}`
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	p := geotab.New(httpcall.New(httpcall.Config{}), geotab.Config{})
	require.True(t, p.Fresh(credentials(), clock()))
	require.False(t, p.Fresh(tsp.Credentials{"username": login}, clock()))

	_, fresh, err := refresh(t, credentials(), call(loginBody, tsptest.File(t, "testdata/authenticate.json")))
	require.NoError(t, err)
	require.Equal(t, tsp.Credentials{
		"username": login, "password": password, "database": "acme",
		"session_id": "planted-new-session", "host": "my3.geotab.com", "session_since": "2026-07-20T12:00:00Z",
	}, fresh)

	old := credentials()
	old["host"] = "my3.geotab.com"
	_, fresh, err = refresh(t, old, call(loginBody, path("ThisServer")))
	require.NoError(t, err)
	require.Empty(t, fresh["host"], "a login asks the configured server, whichever that will be")
}

func TestRefresh_ForeignHost(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"evil.example.com", "evilgeotab.com", "geotab.com", "geotab.com.evil.example", "my3.geotab.com:8443", "my3.geotab.com/x",
		"x@my3.geotab.com", "my3.geotab.com.", "127.0.0.1:1", "a..geotab.com", "-a.geotab.com", "evil.example?.geotab.com",
		strings.Repeat("a.", 130) + "geotab.com",
	} {
		_, _, err := refresh(t, credentials(), call(loginBody, path(host)))
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorTSP, f.Type, host)
		require.False(t, f.Retryable, host)
		require.NotContains(t, f.Detail, host)

		creds := credentials()
		creds["host"] = host
		p := geotab.New(httpcall.New(httpcall.Config{}), geotab.Config{})
		_, err = p.UpdateUser(t.Context(), tsp.Connection{Credentials: creds},
			tsp.UserUpdate{SourceID: userID, Changes: changes{operation.FieldFirstName: text("Ann")}})
		require.Equal(t, operation.ErrorTSP, tsptest.Failure(t, err).Type, host)
	}
}

func TestRefresh_Failures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer    string
		status    int
		kind      operation.ErrorType
		retryable bool
	}{
		"bad login":   {answer: failing(t, "InvalidUserException", "no "+password), kind: operation.ErrorAuth},
		"limit":       {answer: failing(t, "OverLimitException", "slow down"), kind: operation.ErrorTSP, retryable: true},
		"no database": {answer: failing(t, "DbUnavailableException", "UnknownDatabase: acme"), kind: operation.ErrorAuth},
		"moving":      {answer: failing(t, "DbUnavailableException", "Initializing"), kind: operation.ErrorTSP, retryable: true},
		"no session":  {answer: `{"result":{"path":"ThisServer"}}`, kind: operation.ErrorTSP, retryable: true},
		"garbage":     {answer: `<html>`, kind: operation.ErrorTSP, retryable: true},
		"unavailable": {status: 503, kind: operation.ErrorTSP, retryable: true},
		"401":         {status: 401, kind: operation.ErrorAuth},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exchange := call(loginBody, c.answer)
			exchange.Status = c.status
			_, _, err := refresh(t, credentials(), exchange)
			f := tsptest.Failure(t, err)
			require.Equal(t, c.kind, f.Type)
			require.Equal(t, c.retryable, f.Retryable)
			require.False(t, f.Refresh)
			require.NotContains(t, f.Detail, password)
		})
	}
	for _, missing := range []string{"username", "password", "database"} {
		creds := credentials()
		delete(creds, missing)
		_, _, err := refresh(t, creds)
		require.Equal(t, operation.ErrorAuth, tsptest.Failure(t, err).Type)
	}
}

// moved sends what is meant for any host to one server, and keeps the addresses.
type moved struct {
	to   string
	seen *[]string
}

func (m moved) RoundTrip(r *http.Request) (*http.Response, error) {
	*m.seen = append(*m.seen, r.URL.String())
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", m.to
	return http.DefaultTransport.RoundTrip(r)
}

func TestUpdate_CallsTheHostOfTheLogin(t *testing.T) {
	t.Parallel()
	read := reading(`"firstName":"Dana"`)
	server := tsptest.NewServer(t, getting(read), setting(t, read, `{"firstName":"Ann"}`))
	var seen []string
	client := httpcall.New(httpcall.Config{Transport: moved{to: strings.TrimPrefix(server.URL, "http://"), seen: &seen}})
	creds := credentials()
	creds["host"] = "My3.Geotab.com"
	_, err := geotab.New(client, geotab.Config{}).UpdateUser(t.Context(), tsp.Connection{Credentials: creds},
		tsp.UserUpdate{SourceID: userID, Changes: changes{operation.FieldFirstName: text("Ann")}})
	require.NoError(t, err)
	require.Equal(t, []string{"https://my3.geotab.com/apiv1", "https://my3.geotab.com/apiv1"}, seen)
}

func TestUpdate_ConfiguredServerKeepsItsPath(t *testing.T) {
	t.Parallel()
	get := getting(`{"result":[]}`)
	get.Path = "/geotab/apiv1"
	server := tsptest.NewServer(t, get)
	creds := credentials()
	creds["host"] = strings.TrimPrefix(server.URL, "http://")
	p := geotab.New(httpcall.New(httpcall.Config{}), geotab.Config{BaseURL: server.URL + "/geotab/"})
	_, err := p.UpdateUser(t.Context(), tsp.Connection{Credentials: creds},
		tsp.UserUpdate{SourceID: userID, Changes: changes{operation.FieldFirstName: text("Ann")}})
	require.Contains(t, refusal(t, err).Detail, "user not found")
}

func TestUpdate_WithoutSession(t *testing.T) {
	t.Parallel()
	p := geotab.New(httpcall.New(httpcall.Config{}), geotab.Config{})
	_, err := p.UpdateUser(t.Context(), tsp.Connection{}, tsp.UserUpdate{SourceID: userID})
	f := tsptest.Failure(t, err)
	require.Equal(t, operation.ErrorAuth, f.Type)
	require.True(t, f.Refresh)
}
