package verizonconnect_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
	"writeback/pkg/tsp/verizonconnect"
	verizonconnectbox "writeback/pkg/tsp/verizonconnect/box"
)

func serve(t *testing.T, exchanges ...tsptest.Exchange) *verizonconnect.Provider {
	t.Helper()
	return verizonconnect.New(httpcall.New(httpcall.Config{}), verizonconnect.Config{BaseURL: tsptest.NewServer(t, exchanges...).URL})
}

// Nothing at all is called without the flag, not even the login.
func TestFlag_NothingIsCalledWithoutIt(t *testing.T) {
	t.Parallel()
	p := serve(t)
	for _, own := range []settings{nil, {"accept_partial_contract": "yes"}} {
		conn := connection()
		conn.Settings = own
		_, update := p.UpdateUser(t.Context(), conn, tsp.UserUpdate{SourceID: number, Changes: changes{operation.FieldFirstName: text("Ann")}})
		_, create := p.CreateUser(t.Context(), conn, tsp.UserCreate{Changes: changes{operation.FieldFirstName: text("Ann")}})
		_, read := p.ReadUser(t.Context(), conn, number)
		_, list := p.ListUsers(t.Context(), conn, "")
		_, refresh := p.Refresh(t.Context(), conn)
		for _, err := range []error{update, create, read, list, refresh} {
			f := tsptest.Failure(t, err)
			require.Equal(t, operation.ErrorValidation, f.Type)
			require.False(t, f.Retryable)
			require.Contains(t, f.Detail, "not confirmed")
			require.Contains(t, f.Detail, "accept_partial_contract")
		}
	}
}

// What cannot be accepted is not asked for; only a missing token can be got.
func TestCredentials_Incomplete(t *testing.T) {
	t.Parallel()
	p := serve(t)
	for _, name := range []string{"app_id", "access_token", "username", "password"} {
		conn := connection()
		delete(conn.Credentials, name)
		var err error
		switch name {
		case "username", "password":
			_, err = p.Refresh(t.Context(), conn)
		default:
			_, err = p.ReadUser(t.Context(), conn, number)
		}
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorAuth, f.Type, name)
		require.Contains(t, f.Detail, name)
		require.Equal(t, name == "access_token", f.Refresh, name)
		require.False(t, f.Retryable, name)
	}
}

func TestUpdate_SaysWhatWasNotApplied(t *testing.T) {
	t.Parallel()
	read := tsptest.Exchange{Method: "GET", Path: "/cmd/v1/drivers/05201977", Answer: tsptest.File(t, "testdata/driver.json")}
	put := tsptest.Exchange{Method: "PUT", Path: "/cmd/v1/drivers/05201977", Answer: "done", Body: `{
		"DriverId": 9007199254740993, "DriverNumber": "05201977", "FirstName": "Ann", "LastName": "Whitfield",
		"EmailAddress": "DANA.W@example.com", "PhoneNumber": "(555) 010-0199", "KeyFobIds": ["ABC123"], "Notes": "<A> & B"}`}
	_, err := serve(t, read, put, read).UpdateUser(t.Context(), connection(), tsp.UserUpdate{SourceID: number, Changes: changes{
		operation.FieldFirstName: text("Ann"), operation.FieldUserEmail: text("DANA.W@example.com"), operation.FieldPhoneNumber: text("(555) 010-0199"),
	}})
	f := tsptest.Failure(t, err)
	require.Equal(t, operation.ErrorValidation, f.Type)
	require.Contains(t, f.Detail, "did not apply first_name")
	require.Equal(t, http.StatusOK, f.StatusCode, "an answer says so")
	require.NotContains(t, f.Detail, "user_email", "a folded login is the same")
	require.NotContains(t, f.Detail, "phone_number", "a number in another form is the same")
}

func TestUpdate_Refusals(t *testing.T) {
	t.Parallel()
	p := serve(t)
	for want, sent := range map[string]changes{
		"employee_number: it is the driver number":     {operation.FieldEmployeeNumber: text("1")},
		"hos_ruleset_code: the provider's values":      {operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8")},
		"user_email: the provider cannot clear":        {operation.FieldUserEmail: operation.Null()},
		"last_name: must not be empty":                 {operation.FieldLastName: text("")},
		"is_active: the provider shows active drivers": {operation.FieldIsActive: flag(false)},
	} {
		_, err := p.UpdateUser(t.Context(), connection(), tsp.UserUpdate{SourceID: number, Changes: sent})
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorValidation, f.Type)
		require.Contains(t, f.Detail, want)
	}
	_, err := p.ReadUser(t.Context(), connection(), "..")
	require.Contains(t, tsptest.Failure(t, err).Detail, "no number")
}

// A driver whom no later call could name must not come into being.
func TestCreate_NumberThatIsNoName(t *testing.T) {
	t.Parallel()
	for _, number := range []string{" ", ".", ".."} {
		_, err := serve(t).CreateUser(t.Context(), connection(), tsp.UserCreate{Changes: changes{
			operation.FieldEmployeeNumber: text(number), operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Lee"),
		}})
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorValidation, f.Type)
		require.Contains(t, f.Detail, "employee_number: ")
	}
}

// Credentials must not go to another region than their own.
func TestRegion(t *testing.T) {
	t.Parallel()
	seen := &hosts{}
	p := verizonconnect.New(httpcall.New(httpcall.Config{Transport: seen}), verizonconnect.Config{})
	conn := connection()
	for region, want := range map[string]string{
		"": verizonconnect.DefaultBaseURL, "US": verizonconnect.DefaultBaseURL, "eu": verizonconnect.EuropeBaseURL, "europe": "",
	} {
		seen.last = ""
		conn.Settings = settings{"accept_partial_contract": "true", "region": region}
		_, readErr := p.ReadUser(t.Context(), conn, number)
		require.Equal(t, want, seen.last)
		_, refreshErr := p.Refresh(t.Context(), conn)
		require.Equal(t, want, seen.last)
		for _, err := range []error{readErr, refreshErr} {
			require.Equal(t, want == "", strings.Contains(tsptest.Failure(t, err).Detail, "setting region must be us or eu"), err)
		}
	}
}

// hosts notes where the last call went, and answers none.
type hosts struct{ last string }

func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	h.last = r.URL.Scheme + "://" + r.URL.Host
	return nil, errors.New("not answered")
}

func TestRefresh_TakesEveryFormOfAToken(t *testing.T) {
	t.Parallel()
	for _, body := range []string{newToken, newToken + "\r\n", `"` + newToken + `"`, `{"token":"` + newToken + `"}`, `{"access_token":"` + newToken + `"}`} {
		p := serve(t, tsptest.Exchange{
			Method: "GET", Path: "/token", Answer: body,
			Header: map[string]string{"Authorization": "Basic cGxhbnRlZC11c2VyOnBsYW50ZWQtcHc=", "Accept": "text/plain"},
		})
		fresh, err := p.Refresh(t.Context(), connection())
		require.NoError(t, err)
		require.Equal(t, newToken, fresh["access_token"])
		require.True(t, p.Fresh(fresh, time.Now().Add(14*time.Minute)))
		require.False(t, p.Fresh(fresh, time.Now().Add(16*time.Minute)))
	}
}

func TestSandbox_LoginCreateUpdateReadList(t *testing.T) {
	t.Parallel()
	sb := sandbox.New(sandbox.Config{Parts: []sandbox.Part{verizonconnectbox.Part()}})
	server := httptest.NewServer(sb.Handler())
	t.Cleanup(func() {
		sb.Close()
		server.Close()
	})
	p := verizonconnect.New(httpcall.New(httpcall.Config{}), verizonconnect.Config{BaseURL: server.URL + "/verizon_connect"})
	var conn tsp.Connection
	for _, seed := range sandbox.Seeds([]sandbox.Part{verizonconnectbox.Part()}) {
		if seed.Provider == verizonconnect.Name {
			require.Equal(t, "00000000-0000-7000-8000-0000000000c8", seed.Connection)
			require.Equal(t, []string{"00000000-0000-7000-8000-00000000a805", "05201005"}, []string{seed.Users[5].CatenaID, seed.Users[5].SourceID})
			conn.Credentials, conn.Settings = seed.Credentials, seed.Settings
		}
	}
	conn.Credentials["access_token"] = "a-dead-token"
	_, err := p.ReadUser(t.Context(), conn, verizonconnectbox.UserID(5))
	require.True(t, tsptest.Failure(t, err).Refresh)
	conn.Credentials, err = p.Refresh(t.Context(), conn)
	require.NoError(t, err)

	user := tsp.UserCreate{Changes: changes{
		operation.FieldEmployeeNumber: text("00/7"), operation.FieldFirstName: text("Ann"), operation.FieldLastName: text("Lee"),
	}}
	created, err := p.CreateUser(t.Context(), conn, user)
	require.NoError(t, err)
	user.Repeat = true
	again, err := p.CreateUser(t.Context(), conn, user)
	require.NoError(t, err)
	require.Equal(t, created.SourceID, again.SourceID)
	user.Changes = changes{
		operation.FieldEmployeeNumber: text("00/7"), operation.FieldFirstName: text("Other"), operation.FieldLastName: text("Man"),
	}
	_, err = p.CreateUser(t.Context(), conn, user)
	require.Contains(t, tsptest.Failure(t, err).Detail, "another driver with this employee_number")

	_, err = p.UpdateUser(t.Context(), conn, tsp.UserUpdate{SourceID: created.SourceID, Changes: changes{operation.FieldUserEmail: text("ann@example.com")}})
	require.NoError(t, err)
	held, err := p.ReadUser(t.Context(), conn, created.SourceID)
	require.NoError(t, err)
	require.Equal(t, text("ann@example.com"), held[operation.FieldUserEmail])
	require.Equal(t, text("Lee"), held[operation.FieldLastName])
	page, err := p.ListUsers(t.Context(), conn, "")
	require.NoError(t, err)
	require.Len(t, page.Users, 101)
}

// The number is the customer's to give. One driver without does not end the list.
func TestList_LeavesOutWhoHasNoNumber(t *testing.T) {
	t.Parallel()
	list := func(driver string) (tsp.UserPage, error) {
		return serve(t, tsptest.Exchange{
			Method: "GET", Path: "/cmd/v1/drivers", Answer: `[` + driver + `,{"Driver":{"DriverNumber":"7","FirstName":"B"}}]`,
		}).ListUsers(t.Context(), connection(), "")
	}
	for _, driver := range []string{`{"Driver":{"DriverId":1,"DriverNumber":"","FirstName":"A"}}`, `{"DriverId":1,"DriverNumber":null}`} {
		page, err := list(driver)
		require.NoError(t, err, driver)
		require.Len(t, page.Users, 1)
		require.Equal(t, "7", page.Users[0].SourceID)
	}
	for _, driver := range []string{`{"Driver":{"FirstName":"A"}}`, `{"Driver":{"DriverNumber":7}}`, `{}`, `null`, `"x"`} {
		_, err := list(driver)
		require.Equal(t, operation.ErrorTSP, tsptest.Failure(t, err).Type, driver)
	}
}
