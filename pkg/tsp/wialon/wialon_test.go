package wialon_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
	"writeback/pkg/tsp/wialon"
	wialonbox "writeback/pkg/tsp/wialon/box"
)

func TestUpdate_Refusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		changes changes
		want    string
	}{
		"field not configured": {changes{operation.FieldLicenseNumber: text("1")}, "license_number: the connection's setting license_number_field"},
		"null of the same":     {changes{operation.FieldUserEmail: operation.Null()}, "user_email: the connection's setting email_field"},
		"inactive":             {changes{operation.FieldStatus: text("INACTIVE")}, "status: the provider cannot deactivate"},
		"no code":              {changes{operation.FieldPhoneNumber: text("555")}, "phone_number: needs a country code"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connection()
			conn.Settings = nil
			p := wialon.New(httpcall.New(httpcall.Config{}), wialon.Config{BaseURL: tsptest.NewServer(t).URL})
			_, err := p.UpdateUser(t.Context(), conn, tsp.UserUpdate{SourceID: driverID, Changes: tt.changes})
			f := tsptest.Failure(t, err)
			require.Equal(t, operation.ErrorValidation, f.Type)
			require.Contains(t, f.Detail, tt.want)
		})
	}
	f := answeredTo(t, changes{operation.FieldFirstName: text(" "), operation.FieldLastName: text("")}, tsptest.File(t, "testdata/resource.json"))
	require.Contains(t, f.Detail, "first_name: the whole name would be empty; last_name: the whole name")
	_, err := wialon.New(httpcall.New(httpcall.Config{}), wialon.Config{}).UpdateUser(t.Context(), connection(),
		tsp.UserUpdate{SourceID: "7", Changes: changes{operation.FieldNotes: text("x")}})
	require.Contains(t, tsptest.Failure(t, err).Detail, "resource:driver")
}

func TestUpdate_FieldsThatTheReadLeavesOut(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"item":{"id":600123,"drvrs":{"7":{"id":7,"n":"Dana Whitfield","c":"1"}}},"flags":257}`)
	}))
	t.Cleanup(server.Close)
	p := wialon.New(httpcall.New(httpcall.Config{}), wialon.Config{BaseURL: server.URL})
	d := &httpcall.Draft{}
	_, err := p.UpdateUser(httpcall.WithDraft(t.Context(), d), connection(),
		tsp.UserUpdate{SourceID: driverID, Changes: changes{operation.FieldEmployeeNumber: text("2")}})
	require.ErrorIs(t, err, httpcall.ErrDraft)
	require.Len(t, d.Calls, 1)
	form, err := url.ParseQuery(d.Calls[0].Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"itemId":600123,"id":7,"callMode":"update","n":"Dana Whitfield","c":"2","ds":"","p":"","pwd":"","jp":{}}`,
		form.Get("params"), "an update needs them all")
}

// TestUpdate_ErrorsByTheirCode is the provider's own table of errors, which come with status 200.
func TestUpdate_ErrorsByTheirCode(t *testing.T) {
	t.Parallel()
	type class struct {
		kind               operation.ErrorType
		retryable, refresh bool
		wait               time.Duration
	}
	refused := class{kind: operation.ErrorValidation}
	passing := class{kind: operation.ErrorTSP, retryable: true}
	busy := class{kind: operation.ErrorTSP, retryable: true, wait: 5 * time.Second}
	away := class{kind: operation.ErrorNetwork, retryable: true}
	for code, want := range map[int]class{
		1: {kind: operation.ErrorAuth, refresh: true}, 7: {kind: operation.ErrorAuth}, 8: {kind: operation.ErrorAuth},
		2: refused, 3: refused, 4: refused, 14: refused, 1002: refused, 5: passing, 6: passing, 9: passing, 999: passing,
		10: busy, 1003: busy, -100: away, -101: away,
	} {
		f := answered(t, fmt.Sprintf(`{"error":%d}`, code))
		require.Equal(t, want, class{f.Type, f.Retryable, f.Refresh, f.RetryAfter}, code)
	}
}

// TestCalls_AreTheContracts: what is asked for, in the words of the provider's pages.
func TestCalls_AreTheContracts(t *testing.T) {
	t.Parallel()
	var calls []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.ParseForm())
		calls = append(calls, r.Method+" "+r.RequestURI+" "+r.Header.Get("Content-Type")+" "+r.PostForm.Get("params"))
		_, _ = io.WriteString(w, `{}`)
	}))
	defer server.Close()
	p := wialon.New(httpcall.New(httpcall.Config{}), wialon.Config{BaseURL: server.URL + "/"})
	_, _ = p.Refresh(t.Context(), connection())
	_, _ = p.ReadUser(t.Context(), connection(), driverID)
	_, _ = p.ListUsers(t.Context(), connection(), "")
	const form = " application/x-www-form-urlencoded "
	require.Equal(t, []string{
		"POST /wialon/ajax.html?svc=token%2Flogin" + form + `{"token":"planted-token"}`,
		"POST /wialon/ajax.html?svc=core%2Fsearch_item&sid=planted-sid" + form + `{"flags":257,"id":600123}`,
		"POST /wialon/ajax.html?svc=core%2Fsearch_items&sid=planted-sid" + form + `{"flags":257,"force":1,"from":0,"spec":{"itemsType":"avl_resource",` +
			`"propName":"drivers","propType":"property","propValueMask":"*","sortType":"drivers"},"to":0}`,
	}, calls)
}

// TestUpdate_SaysWhatWasNotApplied: the answer of a write has the driver as it is then.
func TestUpdate_SaysWhatWasNotApplied(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		`"n":"Dana Whitfield","ds":"x"`:                         "did not apply first_name",
		`"n":"Ann Whitfield","ds":""`:                           "did not apply notes",
		`"n":"Ann Whitfield","ds":"x","jp":{}`:                  "did not apply user_email",
		`"n":"Ann Whitfield","ds":"x","jp":{"E-mail":"b@c.de"}`: "did not apply user_email",
	} {
		f := answered(t, tsptest.File(t, "testdata/resource.json"), `[7,{"id":7,`+written+`}]`)
		require.Equal(t, operation.ErrorValidation, f.Type)
		require.Contains(t, f.Detail, want)
		require.False(t, f.Retryable)
	}
}

// answered is the failure of an update whose calls are answered so.
func answered(t *testing.T, bodies ...string) *operation.Failure {
	t.Helper()
	return answeredTo(t, changes{
		operation.FieldFirstName: text("Ann"), operation.FieldNotes: text("x"), operation.FieldUserEmail: text("a@b.cd"),
	}, bodies...)
}

func answeredTo(t *testing.T, sent changes, bodies ...string) *operation.Failure {
	t.Helper()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, bodies[calls])
		calls++
	}))
	defer server.Close()
	p := wialon.New(httpcall.New(httpcall.Config{}), wialon.Config{BaseURL: server.URL})
	_, err := p.UpdateUser(t.Context(), connection(), tsp.UserUpdate{SourceID: driverID, Changes: sent})
	return tsptest.Failure(t, err)
}

// Keys and empty objects take many times their length in memory.
func TestRead_AnAnswerOfNothingIsNotTakenIn(t *testing.T) {
	t.Parallel()
	drivers := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%d":{}`, i+1)
		}
		return "{" + b.String()[1:] + "}"
	}
	one := func(drivers string) string { return `{"item":{"id":600123,"drvrs":` + drivers + `}}` }
	all := func(items string) string { return `{"items":[` + items + `]}` }
	for name, body := range map[string]string{
		"drivers":          one(drivers(100_001)),
		"keys of a driver": one(`{"7":{` + strings.Repeat(`"a":1,`, 50_000) + `"n":""}}`),
		"no driver":        one(`{"7":[]}`),
		"no id":            one(`{"x":{}}`),
		"resources":        all(strings.Repeat(`{},`, 1<<20) + `{}`),
		"drivers of two":   all(`{"id":1,"drvrs":` + drivers(60_000) + `},{"id":2,"drvrs":` + drivers(60_000) + `}`),
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		p := wialon.New(httpcall.New(httpcall.Config{}), wialon.Config{BaseURL: server.URL})
		_, err := p.ReadUser(t.Context(), connection(), driverID)
		if strings.HasPrefix(body, `{"items"`) {
			_, err = p.ListUsers(t.Context(), connection(), "")
		}
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorTSP, f.Type, name)
		require.True(t, f.Retryable, name)
		require.Contains(t, f.Detail, "was not understood", name)
		server.Close()
	}
}

// box is the adapter in front of a sandbox, which is strict and keeps what is written.
func box(t *testing.T) (*wialon.Provider, tsp.Connection, string) {
	t.Helper()
	sb := sandbox.New(sandbox.Config{Parts: []sandbox.Part{wialonbox.Part()}})
	server := httptest.NewServer(sb.Handler())
	t.Cleanup(func() {
		sb.Close()
		server.Close()
	})
	for _, seed := range sandbox.Seeds([]sandbox.Part{wialonbox.Part()}) {
		if seed.Provider == wialon.Name {
			p := wialon.New(httpcall.New(httpcall.Config{}), wialon.Config{BaseURL: server.URL + "/wialon"})
			return p, tsp.Connection{Credentials: seed.Credentials, Settings: seed.Settings}, server.URL
		}
	}
	t.Fatal("the sandbox has no connection of the provider")
	return nil, tsp.Connection{}, ""
}

func TestSandbox_LoginCreateUpdateReadList(t *testing.T) {
	t.Parallel()
	p, conn, _ := box(t)
	require.False(t, p.Fresh(conn.Credentials, time.Now()))
	fresh, err := p.Refresh(t.Context(), conn)
	require.NoError(t, err)
	require.True(t, p.Fresh(fresh, time.Now()))
	require.False(t, p.Fresh(fresh, time.Now().Add(5*time.Minute)), "a session may be over after five minutes")
	conn.Credentials = fresh

	user := tsp.UserCreate{Changes: changes{
		operation.FieldEmployeeNumber: text("N1"), operation.FieldFirstName: text("Ann"), operation.FieldLastName: text("Lee"),
		operation.FieldPhoneNumber: text("+1 555 010-0144"), operation.FieldLicenseNumber: text("L1"),
	}}
	created, err := p.CreateUser(t.Context(), conn, user)
	require.NoError(t, err)
	user.Repeat = true
	again, err := p.CreateUser(t.Context(), conn, user)
	require.NoError(t, err)
	require.Equal(t, created.SourceID, again.SourceID)

	before, err := p.ReadUser(t.Context(), conn, wialonbox.UserID(5))
	require.NoError(t, err)
	_, err = p.UpdateUser(t.Context(), conn, tsp.UserUpdate{SourceID: wialonbox.UserID(5), Changes: changes{operation.FieldNotes: text("a+b & <c>")}})
	require.NoError(t, err)
	after, err := p.ReadUser(t.Context(), conn, wialonbox.UserID(5))
	require.NoError(t, err)
	before[operation.FieldNotes] = text("a+b & <c>")
	require.Equal(t, before, after, "nothing else is lost by the replace")

	_, err = p.UpdateUser(t.Context(), conn, tsp.UserUpdate{SourceID: created.SourceID, Changes: changes{operation.FieldEmployeeNumber: text("E60005")}})
	require.Contains(t, tsptest.Failure(t, err).Detail, "employee_number: another driver")
	page, err := p.ListUsers(t.Context(), conn, "")
	require.NoError(t, err)
	require.Len(t, page.Users, 101)
}

func TestSandbox_DeadSessionAsksForALogin(t *testing.T) {
	t.Parallel()
	p, conn, _ := box(t)
	conn.Credentials["sid"] = "a-dead-session"
	_, err := p.ReadUser(t.Context(), conn, wialonbox.UserID(5))
	require.True(t, tsptest.Failure(t, err).Refresh)
	conn.Credentials["token"] = "a-wrong-token"
	_, err = p.Refresh(t.Context(), conn)
	f := tsptest.Failure(t, err)
	require.Equal(t, operation.ErrorAuth, f.Type)
	require.False(t, f.Retryable)
	require.False(t, f.Refresh)
}
