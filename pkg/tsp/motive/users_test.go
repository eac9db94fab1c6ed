package motive_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/motive"
	"writeback/pkg/tsp/tsptest"
)

func provider(t *testing.T, exchanges ...tsptest.Exchange) *motive.Provider {
	t.Helper()
	return motive.New(httpcall.New(httpcall.Config{}), motive.Config{
		BaseURL: tsptest.NewServer(t, exchanges...).URL, Now: func() time.Time { return now },
	})
}

var now = time.Date(2026, 7, 20, 12, 0, 0, 0, time.UTC)

func connection(s settings) tsp.Connection {
	return tsp.Connection{Credentials: tsp.Credentials{"access_token": token}, Settings: s}
}

func post(body, answer string) tsptest.Exchange {
	return tsptest.Exchange{
		Method: http.MethodPost, Path: "/v1/users", Body: body, Status: http.StatusCreated, Answer: answer,
		Header: map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json"},
	}
}

// withLogin are changes with the three fields that every create here has.
func withLogin(c changes) changes {
	out := changes{
		operation.FieldUserEmail: text("new@example.com"), operation.FieldFirstName: text("New"), operation.FieldLastName: text("Driver"),
	}
	for f, v := range c {
		out[f] = v
	}
	return out
}

func TestCreate_Bodies(t *testing.T) {
	t.Parallel()
	const login = `"email":"new@example.com","first_name":"New","last_name":"Driver"`
	for name, c := range map[string]struct {
		settings settings
		changes  changes
		body     string // empty: refused
		refused  []string
	}{
		"driver by default": {body: `{` + login + `,"role":"driver"}`},
		"nulls say nothing": {
			changes: changes{
				operation.FieldNotes: null(), operation.FieldDefaultTimeZone: null(), operation.FieldIsDriver: null(),
				operation.FieldPhoneNumber: null(), operation.FieldHOSRulesetCode: null(),
			},
			body: `{` + login + `,"role":"driver"}`,
		},
		"whole driver": {
			changes: changes{
				operation.FieldUsername: text("ndriver"), operation.FieldPhoneNumber: text("+1 555-010-0144"),
				operation.FieldDefaultTimeZone: text("America/Chicago"), operation.FieldEmployeeNumber: text("77"),
				operation.FieldLicenseNumber: text("X9"), operation.FieldLicenseRegion: text("US-TX"), operation.FieldLicenseCountry: text("USA"),
				operation.FieldHOSRulesetCode: text("US_TX_INTRA_PROP_70_7"), operation.FieldHOSTrackingMethod: text("manual"),
				operation.FieldAllowYardMove: flag(true), operation.FieldDOTID: text("7"), operation.FieldIsActive: flag(false),
			},
			body: `{` + login + `,"role":"driver","username":"ndriver","phone":"5550100144","phone_country_code":"+1",
 "time_zone":"Central Time (US & Canada)","driver_company_id":"77","drivers_license_number":"X9","drivers_license_state":"TX",
 "cycle":"tx_70_7","exception_24_hour_restart":false,"exception_8_hour_break":false,"exception_wait_time":false,
 "exception_short_haul":false,"exception_ca_farm_school_bus":false,"eld_mode":"none","time_tracking_mode":"logs",
 "yard_moves_enabled":true,"dot_id":"7","status":"deactivated"}`,
		},
		"exempt driver": {
			changes: changes{operation.FieldHOSComplianceType: text("exempt")},
			body:    `{` + login + `,"role":"driver","eld_mode":"exempt","time_tracking_mode":"not_required"}`,
		},
		"office user by setting": {
			settings: everySwitch, changes: changes{operation.FieldIsDriver: flag(false)}, body: `{` + login + `,"role":"fleet_user"}`,
		},
		"office user": {changes: changes{operation.FieldIsDriver: flag(false)}, refused: []string{"is_driver: "}},
		"office user with a driver's fields": {
			settings: everySwitch, refused: []string{"license_number: ", "username: ", "hos_compliance_type: "},
			changes: changes{
				operation.FieldIsDriver: flag(false), operation.FieldLicenseNumber: text("X9"), operation.FieldUsername: text("n"),
				operation.FieldHOSComplianceType: text("exempt"),
			},
		},
		"office user without e-mail": {
			settings: everySwitch, refused: []string{"user_email: "},
			changes: changes{operation.FieldIsDriver: flag(false), operation.FieldUserEmail: null(), operation.FieldUsername: text("n")},
		},
		"nobody": {
			changes: changes{operation.FieldUserEmail: text(""), operation.FieldFirstName: text(""), operation.FieldLastName: null()},
			refused: []string{"user_email: ", "first_name: ", "last_name: "},
		},
		"what cannot be held": {changes: changes{operation.FieldNotes: text("n")}, refused: []string{"notes: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var exchanges []tsptest.Exchange
			if c.body != "" {
				exchanges = append(exchanges, post(c.body, `{"user":{"id":7000001}}`))
			}
			created, err := provider(t, exchanges...).CreateUser(t.Context(), connection(c.settings), tsp.UserCreate{Changes: withLogin(c.changes)})
			if c.body != "" {
				require.NoError(t, err)
				require.Equal(t, newID, created.SourceID)
				require.Equal(t, http.StatusCreated, created.StatusCode)
				return
			}
			for _, part := range c.refused {
				require.Contains(t, refusal(t, err).Detail, part)
			}
		})
	}
}

func byUsername() changes {
	c := withLogin(changes{operation.FieldUsername: text("ndriver")})
	delete(c, operation.FieldUserEmail)
	return c
}

func TestCreate_DriverWithoutEmailGetsAPassword(t *testing.T) {
	t.Parallel()
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		var body map[string]string
		if err != nil || json.Unmarshal(raw, &body) != nil {
			t.Errorf("body %s: %v", raw, err)
		}
		seen = append(seen, body["password"])
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"error_message":"too weak: `+body["password"]+`"}`)
	}))
	t.Cleanup(server.Close)
	p := motive.New(httpcall.New(httpcall.Config{}), motive.Config{BaseURL: server.URL})
	for range 2 {
		_, err := p.CreateUser(t.Context(), connection(nil), tsp.UserCreate{Changes: byUsername()})
		require.Equal(t, "motive: create user: the provider answered 422: too weak: [hidden]", refusal(t, err).Detail)
	}
	require.Len(t, seen, 2)
	for _, password := range seen {
		require.Regexp(t, `^[A-Za-z0-9-]{24}$`, password)
	}
	require.NotEqual(t, seen[0], seen[1])

	d := &httpcall.Draft{Hidden: []string{token}}
	_, err := p.CreateUser(httpcall.WithDraft(t.Context(), d), connection(nil), tsp.UserCreate{Changes: byUsername()})
	require.ErrorIs(t, err, httpcall.ErrDraft)
	require.Len(t, seen, 2, "nothing was sent")
	require.Equal(t, []tsp.DraftCall{{
		Method: http.MethodPost, Path: "/v1/users",
		Body: `{"first_name":"New","last_name":"Driver","password":"*****","role":"driver","username":"ndriver"}`,
	}}, d.Calls)
}

func lookup(query, answer string, status int) tsptest.Exchange {
	return tsptest.Exchange{Method: http.MethodGet, Path: "/v1/users/lookup?" + query, Answer: answer, Status: status}
}

func TestCreate_Repeat(t *testing.T) {
	t.Parallel()
	const made = `{"user":{"id":7000001,"email":"new@example.com","first_name":"New","last_name":"Driver","role":"driver"}}`
	byEmail := "email=new%40example.com"
	for name, c := range map[string]struct {
		changes changes
		calls   []tsptest.Exchange
		detail  string // empty: success
	}{
		"made by the earlier attempt": {changes: withLogin(nil), calls: []tsptest.Exchange{lookup(byEmail, made, 0)}},
		"not made": {changes: withLogin(nil), calls: []tsptest.Exchange{
			lookup(byEmail, `{"error_message":"not found"}`, 404),
			post(`{"email":"new@example.com","first_name":"New","last_name":"Driver","role":"driver"}`, made),
		}},
		"by username": {changes: byUsername(), calls: []tsptest.Exchange{
			lookup("username=ndriver", `{"user":{"id":7000001,"username":"NDriver","first_name":"New","last_name":"Driver"}}`, 0),
		}},
		"somebody else": {
			changes: withLogin(nil), calls: []tsptest.Exchange{
				lookup(byEmail, `{"user":{"id":800001,"email":"new@example.com","first_name":"Old","last_name":"Driver","role":"admin"}}`, 0),
			},
			detail: "motive: create user: the provider has a user with this login, with another is_driver, first_name",
		},
		"another login": {
			changes: withLogin(nil), calls: []tsptest.Exchange{lookup(byEmail, `{"user":{"id":800001,"email":"old@example.com"}}`, 0)},
			detail: "motive: create user: the provider has a user with this login, with another user_email",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			created, err := provider(t, c.calls...).CreateUser(t.Context(), connection(nil), tsp.UserCreate{Changes: c.changes, Repeat: true})
			if c.detail != "" {
				f := refusal(t, err)
				require.Equal(t, c.detail, f.Detail)
				require.Equal(t, http.StatusOK, f.StatusCode)
				return
			}
			require.NoError(t, err)
			require.Equal(t, newID, created.SourceID)
		})
	}
}

func TestCreate_AnswerIsChecked(t *testing.T) {
	t.Parallel()
	const body = `{"email":"new@example.com","first_name":"New","last_name":"Driver","role":"driver"}`
	for _, answer := range []string{`{"user":{}}`, `{"user":null}`, `{"user":{"id":null}}`, `{"user":{"id":""}}`, `{"user":{"id":true}}`} {
		_, err := provider(t, post(body, answer)).CreateUser(t.Context(), connection(nil), tsp.UserCreate{Changes: withLogin(nil)})
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorTSP, f.Type, answer)
		require.True(t, f.Retryable, "no user appeared: "+answer)
	}
	_, err := provider(t, post(body, `{"user":{"id":7000001,"first_name":"Other","role":"admin"}}`)).
		CreateUser(t.Context(), connection(nil), tsp.UserCreate{Changes: withLogin(nil)})
	require.Equal(t, "motive: create user: the user was created with the id 7000001, but the provider did not apply is_driver, first_name",
		refusal(t, err).Detail)
}

func TestUpdate_DryRunReadsAndShowsThePut(t *testing.T) {
	t.Parallel()
	d := &httpcall.Draft{Hidden: []string{token}}
	_, err := provider(t, get(t, "testdata/user.json")).UpdateUser(httpcall.WithDraft(t.Context(), d), connection(nil),
		tsp.UserUpdate{SourceID: userID, Changes: changes{operation.FieldLicenseNumber: text("X9")}})
	require.True(t, errors.Is(err, httpcall.ErrDraft))
	require.Equal(t, []tsp.DraftCall{{Method: http.MethodPut, Path: path, Body: `{"drivers_license_number":"X9"}`}}, d.Calls)
}

func TestListUsers_Fields(t *testing.T) {
	t.Parallel()
	page := func(n, answer string) tsptest.Exchange {
		return tsptest.Exchange{
			Method: http.MethodGet, Path: "/v1/users?per_page=100&page_no=" + n, Answer: tsptest.File(t, answer),
			Header: map[string]string{"Authorization": "Bearer " + token},
		}
	}
	p := provider(t, page("1", "testdata/users_1.json"), page("2", "testdata/users_2.json"))
	first, err := p.ListUsers(t.Context(), connection(nil), "")
	require.NoError(t, err)
	require.Equal(t, "2", first.Next)
	require.Equal(t, 3, first.Total)
	require.Equal(t, http.StatusOK, first.Result.StatusCode)
	require.Equal(t, text("America/New_York"), first.Users[0].Fields[operation.FieldDefaultTimeZone])
	require.Equal(t, tsp.ListedUser{SourceID: "800002", Fields: changes{
		operation.FieldFirstName: text("Marcus"), operation.FieldLastName: text("Okafor"), operation.FieldUserEmail: text("marcus@example.com"),
		operation.FieldPhoneNumber: null(), operation.FieldPhoneCountryCode: null(), operation.FieldDefaultTimeZone: text("America/Phoenix"),
		operation.FieldIsDriver: flag(false), operation.FieldIsActive: flag(false), operation.FieldStatus: text("INACTIVE"),
		operation.FieldUsername: null(), operation.FieldEmployeeNumber: null(), operation.FieldLicenseRegion: null(),
		operation.FieldLicenseNumber: null(), operation.FieldHOSRulesetCode: null(), operation.FieldAllowYardMove: null(),
		operation.FieldAllowPersonalConveyance: null(), operation.FieldAllowAdverseDriving: null(), operation.FieldDOTID: null(),
		operation.FieldHOSComplianceType: null(), operation.FieldHOSTrackingMethod: null(),
	}}, first.Users[1], "an office user has no driver block, whatever was known before")
	second, err := p.ListUsers(t.Context(), connection(nil), first.Next)
	require.NoError(t, err)
	require.Empty(t, second.Next)
	require.Equal(t, []tsp.ListedUser{{SourceID: "9007199254740993", Fields: changes{
		operation.FieldFirstName: text("Elena"), operation.FieldLastName: text("Marchetti"), operation.FieldUserEmail: null(),
		operation.FieldUsername: text("emarchetti"), operation.FieldIsDriver: flag(true),
		operation.FieldHOSComplianceType: text(operation.Exempt),
		operation.FieldDefaultTimeZone:   null(),
	}}}, second.Users, "what has no counterpart is left out, or known no more")
}

func TestListUsers_End(t *testing.T) {
	t.Parallel()
	one := `{"user":{"id":1}}`
	for name, c := range map[string]struct{ cursor, answer, next string }{
		"more to come":         {"", `{"users":[` + one + `],"pagination":{"per_page":1,"total":2}}`, "2"},
		"all told":             {"2", `{"users":[` + one + `],"pagination":{"per_page":1,"total":2}}`, ""},
		"one is missing":       {"", `{"users":[` + one + `],"pagination":{"per_page":100,"total":2}}`, "2"},
		"past the end":         {"9", `{"users":[],"pagination":{"per_page":1,"total":2}}`, ""},
		"no count, short page": {"", `{"users":[` + one + `]}`, ""},
		"no count, full page":  {"3", `{"users":[` + one + `],"pagination":{"per_page":1}}`, "4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := c.cursor
			if n == "" {
				n = "1"
			}
			page, err := provider(t, tsptest.Exchange{Method: http.MethodGet, Path: "/v1/users?per_page=100&page_no=" + n, Answer: c.answer}).
				ListUsers(t.Context(), connection(nil), c.cursor)
			require.NoError(t, err)
			require.Equal(t, c.next, page.Next)
		})
	}
	for _, answer := range []string{`{"users":null}`, `{"users":[{"id":1}]}`, `{"users":[null]}`, `{"users":[{"user":{"id":""}}]}`} {
		_, err := provider(t, tsptest.Exchange{Method: http.MethodGet, Path: "/v1/users?per_page=100&page_no=1", Answer: answer}).
			ListUsers(t.Context(), connection(nil), "")
		require.True(t, tsptest.Failure(t, err).Retryable, answer)
	}
	for _, cursor := range []string{"0", "-1", "x", "1000001", "1.5"} {
		_, err := provider(t).ListUsers(t.Context(), connection(nil), cursor)
		refusal(t, err)
	}
}

func oldTokens() tsp.Credentials {
	return tsp.Credentials{
		"access_token": "planted-old-token", "refresh_token": "planted-old-refresh", "expires_at": "2026-07-20T11:00:00Z",
		"client_id": "planted-client", "client_secret": "planted-secret", "redirect_uri": "https://partner.example.com/back?x=1",
	}
}

func tokenCall(body, answer string, status int) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.RequestURI != "/oauth/token" || string(raw) != body ||
			r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	const app = "client_id=planted-client&client_secret=planted-secret"
	const back = "redirect_uri=https%3A%2F%2Fpartner.example.com%2Fback%3Fx%3D1"
	first := oldTokens()
	for _, name := range []string{"access_token", "refresh_token", "expires_at"} {
		delete(first, name)
	}
	first["auth_code"] = "planted-code"
	for name, c := range map[string]struct {
		old          tsp.Credentials
		body, answer string
		status       int
		want         map[string]string // the credentials that change; "": gone
		detail       string
	}{
		"refresh token": {
			old: oldTokens(), body: app + "&grant_type=refresh_token&" + back + "&refresh_token=planted-old-refresh",
			answer: tsptest.File(t, "testdata/token.json"), status: 200,
			want: map[string]string{"access_token": "planted-new-token", "refresh_token": "planted-new-refresh", "expires_at": "2026-07-20T14:00:00Z"},
		},
		"answer without a refresh token or an end": {
			old: oldTokens(), body: app + "&grant_type=refresh_token&" + back + "&refresh_token=planted-old-refresh",
			answer: `{"access_token":"planted-new-token"}`, status: 200,
			want: map[string]string{"access_token": "planted-new-token", "expires_at": ""},
		},
		"code": {
			old: first, body: app + "&code=planted-code&grant_type=authorization_code&" + back,
			answer: tsptest.File(t, "testdata/token.json"), status: 200,
			want: map[string]string{
				"access_token": "planted-new-token", "refresh_token": "planted-new-refresh", "expires_at": "2026-07-20T14:00:00Z", "auth_code": "",
			},
		},
		"refused": {
			old: oldTokens(), body: app + "&grant_type=refresh_token&" + back + "&refresh_token=planted-old-refresh",
			answer: tsptest.File(t, "testdata/error_grant.json"), status: 400,
			detail: "motive: refresh token: the provider answered 400: invalid_grant",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := tokenCall(c.body, c.answer, c.status)
			t.Cleanup(server.Close)
			p := motive.New(httpcall.New(httpcall.Config{}), motive.Config{BaseURL: server.URL, Now: func() time.Time { return now }})
			fresh, err := p.Refresh(t.Context(), tsp.Connection{Credentials: c.old})
			if c.detail != "" {
				f := tsptest.Failure(t, err)
				require.Equal(t, operation.ErrorAuth, f.Type)
				require.False(t, f.Retryable)
				require.Equal(t, c.detail, f.Detail)
				return
			}
			require.NoError(t, err)
			want := tsp.Credentials{}
			for name, v := range c.old {
				want[name] = v
			}
			for name, v := range c.want {
				want[name] = v
				if v == "" {
					delete(want, name)
				}
			}
			require.Equal(t, want, fresh)
			require.True(t, p.Fresh(fresh, now))
		})
	}
}

func TestRefresh_NeedsEverything(t *testing.T) {
	t.Parallel()
	for _, missing := range []string{"refresh_token", "client_id", "client_secret", "redirect_uri"} {
		c := oldTokens()
		delete(c, missing)
		_, err := provider(t).Refresh(t.Context(), tsp.Connection{Credentials: c})
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorAuth, f.Type, missing)
		require.False(t, f.Retryable || f.Refresh, missing)
	}
}

func TestFresh(t *testing.T) {
	t.Parallel()
	p := provider(t)
	for name, c := range map[string]struct {
		credentials tsp.Credentials
		want        bool
	}{
		"api key":                  {tsp.Credentials{"api_key": "k", "refresh_token": "r", "expires_at": "2020-01-01T00:00:00Z"}, true},
		"token alone":              {tsp.Credentials{"access_token": "t", "expires_at": "2020-01-01T00:00:00Z"}, true},
		"nothing":                  {nil, true},
		"token without an end":     {tsp.Credentials{"access_token": "t", "refresh_token": "r"}, true},
		"token with an hour":       {tsp.Credentials{"access_token": "t", "refresh_token": "r", "expires_at": "2026-07-20T13:00:00Z"}, true},
		"token with half a minute": {tsp.Credentials{"access_token": "t", "refresh_token": "r", "expires_at": "2026-07-20T12:00:30Z"}, false},
		"token that ended":         {tsp.Credentials{"access_token": "t", "refresh_token": "r", "expires_at": "2026-07-20T11:00:00Z"}, false},
		"end not understood":       {tsp.Credentials{"access_token": "t", "refresh_token": "r", "expires_at": "soon"}, false},
		"refresh token alone":      {tsp.Credentials{"refresh_token": "r"}, false},
		"code alone":               {tsp.Credentials{"auth_code": "c"}, false},
	} {
		require.Equal(t, c.want, p.Fresh(c.credentials, now), name)
	}
	_, err := p.UpdateUser(t.Context(), tsp.Connection{Credentials: tsp.Credentials{"auth_code": "c"}}, tsp.UserUpdate{SourceID: userID})
	require.True(t, tsptest.Failure(t, err).Refresh)
	_, err = p.UpdateUser(t.Context(), tsp.Connection{}, tsp.UserUpdate{SourceID: userID})
	require.False(t, tsptest.Failure(t, err).Refresh)
}

// TestRules_Same are the ways of writing a value that are one at the provider, so
// that a read back does not report them.
func TestRules_Same(t *testing.T) {
	t.Parallel()
	rules := provider(t).Describe().Users
	for _, c := range []struct {
		field      operation.Field
		sent, held string
		want       bool
	}{
		{operation.FieldPhoneNumber, "+1 (555) 010-0144", "5550100144", true},
		{operation.FieldPhoneNumber, "1-555-010-0144", "5550100144", true},
		{operation.FieldPhoneNumber, "5550100145", "5550100144", false},
		{operation.FieldPhoneNumber, "555 CALL ME", "5550100144", false},
		{operation.FieldUserEmail, "Ann@Example.com", "ann@example.com", true},
		{operation.FieldUsername, "Ann", "anna", false},
		{operation.FieldLicenseRegion, "US-OH", "OH", true},
		{operation.FieldDefaultTimeZone, "America/Detroit", "America/New_York", true},
	} {
		require.Equal(t, c.want, rules.Rule(c.field).Same(text(c.sent), text(c.held)), c.sent)
	}
	p := provider(t, getUser(`{"user":{"id":800001,"phone":"301234567","phone_country_code":"+49","time_zone":"Arizona"}}`))
	fields, err := p.ReadUser(t.Context(), connection(nil), userID)
	require.NoError(t, err)
	require.Equal(t, changes{
		operation.FieldPhoneCountryCode: text("+49"), operation.FieldDefaultTimeZone: text("America/Phoenix"),
	}, fields)
}

// A cycle that is none of ours is no reason to keep the ruleset that was known before; one
// whose exceptions are not shown may be the same.
func TestListUsers_RulesetThatIsNoneOfOurs(t *testing.T) {
	t.Parallel()
	const exceptions = `,"exception_24_hour_restart":false,"exception_8_hour_break":false,"exception_wait_time":false,` +
		`"exception_short_haul":false,"exception_ca_farm_school_bus":false`
	listed := func(user string) changes {
		page, err := provider(t, tsptest.Exchange{
			Method: http.MethodGet, Path: "/v1/users?per_page=100&page_no=1", Answer: `{"users":[{"user":{"id":1,` + user + `}}],"pagination":{"total":1}}`,
		}).ListUsers(t.Context(), connection(nil), "")
		require.NoError(t, err)
		return page.Users[0].Fields
	}
	require.Equal(t, changes{operation.FieldHOSRulesetCode: null()}, listed(`"cycle":"Other"`+exceptions))
	require.Equal(t, changes{operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8")}, listed(`"cycle":"70_8"`+exceptions))
	require.Empty(t, listed(`"cycle":"Other"`))
	require.Empty(t, listed(`"cycle":null`+exceptions))
}
