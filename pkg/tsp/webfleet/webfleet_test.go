package webfleet_test

import (
	"io"
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
	"writeback/pkg/tsp/webfleet"
	webfleetbox "writeback/pkg/tsp/webfleet/box"
)

const common = "/extern?account=planted-account&action=updateDriverExtern&apikey=planted-key%2F%2B%26"

func serve(t *testing.T, exchanges ...tsptest.Exchange) *webfleet.Provider {
	t.Helper()
	return webfleet.New(httpcall.New(httpcall.Config{}), webfleet.Config{BaseURL: tsptest.NewServer(t, exchanges...).URL})
}

func update(c changes) tsp.UserUpdate { return tsp.UserUpdate{SourceID: uid, Changes: c} }

func TestUpdate_OneCallWithBasicAuth(t *testing.T) {
	t.Parallel()
	p := serve(t, tsptest.Exchange{
		Method: "GET",
		Path: common + "&country=&description=a%20b&driveruid=1-12345-ABCDEF&email=dana%40example.com&lang=en&outputformat=json" +
			"&telmobile=%2B4930123&useISO8601=true&useUTF8=true",
		Header: map[string]string{"Authorization": "Basic cGxhbnRlZC11c2VyOnBsYW50ZWQtcHc="},
	})
	_, err := p.UpdateUser(t.Context(), connection(), update(changes{
		operation.FieldUserEmail: text("dana@example.com"), operation.FieldNotes: text("a b"),
		operation.FieldPhoneNumber: text("+49 30-123"), operation.FieldCountryCode: operation.Null(),
	}))
	require.NoError(t, err)
}

func TestUpdate_Refusals(t *testing.T) {
	t.Parallel()
	p := serve(t)
	for name, tt := range map[string]struct {
		changes changes
		want    string
	}{
		"no code":         {changes{operation.FieldPhoneNumber: text("5550100144")}, "phone_number: needs a country code"},
		"code alone":      {changes{operation.FieldPhoneCountryCode: text("+1")}, "phone_country_code: can be written only together"},
		"other code":      {changes{operation.FieldPhoneNumber: text("+4930123456"), operation.FieldPhoneCountryCode: text("+1")}, "phone_number: does not begin"},
		"null and code":   {changes{operation.FieldPhoneNumber: operation.Null(), operation.FieldPhoneCountryCode: text("+1")}, "phone_country_code: there is no number"},
		"inactive":        {changes{operation.FieldIsActive: flag(false)}, "is_active: the provider cannot deactivate"},
		"driver's number": {changes{operation.FieldEmployeeNumber: text("8")}, "employee_number: it is the driver number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connection()
			conn.Settings = nil
			_, err := p.UpdateUser(t.Context(), conn, update(tt.changes))
			f := tsptest.Failure(t, err)
			require.Equal(t, operation.ErrorValidation, f.Type)
			require.Contains(t, f.Detail, tt.want)
		})
	}
}

// TestNobodyIsAnEmptyList: the provider says so with an error of its own.
func TestNobodyIsAnEmptyList(t *testing.T) {
	t.Parallel()
	// answering gives the adapter at a provider whose lists are these, one after the other.
	answering := func(lists ...string) *webfleet.Provider {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Query().Get("action"), "show") && len(lists) > 0 {
				_, _ = io.WriteString(w, lists[0])
				lists = lists[1:]
			}
		}))
		t.Cleanup(server.Close)
		return webfleet.New(httpcall.New(httpcall.Config{}), webfleet.Config{BaseURL: server.URL})
	}
	const nobody, made = "63,document is empty", `[{"driveruid":"1-1-NEW","driverno":"N1","name1":"A B"}]`
	page, err := answering(nobody).ListUsers(t.Context(), connection(), "")
	require.NoError(t, err)
	require.Empty(t, page.Users)

	create := tsp.UserCreate{Repeat: true, Changes: changes{
		operation.FieldEmployeeNumber: text("N1"), operation.FieldFirstName: text("A"), operation.FieldLastName: text("B"),
	}}
	created, err := answering(nobody, made).CreateUser(t.Context(), connection(), create)
	require.NoError(t, err)
	require.Equal(t, "1-1-NEW", created.SourceID, "an attempt whose outcome is unknown did not insert it")
	_, err = answering(nobody, nobody).CreateUser(t.Context(), connection(), create)
	require.True(t, tsptest.Failure(t, err).Retryable, "a list may be a little behind")
	_, err = answering(nobody).ReadUser(t.Context(), connection(), uid)
	require.Contains(t, tsptest.Failure(t, err).Detail, "driver not found")
}

// answering is the adapter at a provider whose lists are these, one after the other, and what
// the provider was asked to write.
func answering(t *testing.T, lists ...string) (*webfleet.Provider, *[]string) {
	t.Helper()
	var written []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if strings.HasPrefix(q.Get("action"), "show") {
			_, _ = io.WriteString(w, lists[0])
			lists = lists[1:]
			return
		}
		for _, own := range own {
			q.Del(own)
		}
		written = append(written, q.Encode())
	}))
	t.Cleanup(server.Close)
	return webfleet.New(httpcall.New(httpcall.Config{}), webfleet.Config{BaseURL: server.URL}), &written
}

// TestCreate_TakesTheDriverWithTheNumber, whoever else is in the list.
func TestCreate_TakesTheDriverWithTheNumber(t *testing.T) {
	t.Parallel()
	const both = `[{"driveruid":"1-1-OTHER","driverno":"N2","name1":"C D"},{"driveruid":"1-1-NEW","driverno":"N1","name1":"A B"}]`
	p, written := answering(t, both)
	created, err := p.CreateUser(t.Context(), connection(), tsp.UserCreate{Changes: changes{
		operation.FieldEmployeeNumber: text("N1"), operation.FieldFirstName: text("A"), operation.FieldLastName: text("B"),
	}})
	require.NoError(t, err)
	require.Equal(t, "1-1-NEW", created.SourceID)
	require.Equal(t, []string{"driverno=N1&name=A+B"}, *written)
}

// TestUpdate_WritesNamesAndNumbersAsTheTenantHasThem: the driver is read for what a write of
// them depends on.
func TestUpdate_WritesNamesAndNumbersAsTheTenantHasThem(t *testing.T) {
	t.Parallel()
	last := changes{operation.FieldLastName: text("Lee")}
	for _, tt := range []struct {
		held    string
		own     settings
		changes changes
		want    string
	}{
		{`"name1":"Dana May Whitfield"`, nil, last, "name1=Dana+May+Lee"},
		{`"name":"Dana Whitfield"`, nil, last, "name=Dana+Lee"},
		{`"name1":"Dana","name2":"Whitfield"`, nil, last, "name1=Dana&name2=Lee"},
		{`"name1":"Dana","name2":""`, settings{"split_name": "true"}, last, "name1=Dana&name2=Lee"},
		{`"name1":"Dana","name2":""`, nil, last, "name1=Lee"},
		{`"driverno":"N1"`, settings{"driver_number": "true"}, changes{operation.FieldEmployeeNumber: text("N2"), operation.FieldNotes: text("x")},
			"description=x&driverno=N2&driverno_old=N1"},
	} {
		p, written := answering(t, `[{"driveruid":"`+uid+`",`+tt.held+`}]`)
		conn := connection()
		conn.Settings = tt.own
		_, err := p.UpdateUser(t.Context(), conn, update(tt.changes))
		require.NoError(t, err)
		require.Equal(t, []string{tt.want}, *written, tt.held)
	}
	p, _ := answering(t, `[{"driveruid":"`+uid+`","name1":"Dana May Whitfield"}]`)
	read, err := p.ReadUser(t.Context(), connection(), uid)
	require.NoError(t, err)
	require.NotContains(t, read, operation.FieldFirstName, "it cannot be told which word is whose")
	require.NotContains(t, read, operation.FieldLastName)
}

func TestQuotaWaitsItsWindow(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"8011", "9126"} {
		for _, status := range []int{200, 400, 403, 429, 503} {
			f := answered(t, status, code)
			require.Equal(t, operation.ErrorTSP, f.Type, status)
			require.True(t, f.Retryable, status)
			require.Equal(t, time.Minute, f.RetryAfter, status)
		}
	}
}

func TestCodesOfLoginAndRights(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]operation.ErrorType{
		"45": operation.ErrorAuth, "8014": operation.ErrorAuth, "40": operation.ErrorValidation, "63": operation.ErrorValidation, "x": operation.ErrorValidation,
		"1099": operation.ErrorValidation, "1100": operation.ErrorAuth, "1142": operation.ErrorAuth,
		"1143": operation.ErrorValidation, "1144": operation.ErrorAuth, "1199": operation.ErrorAuth, "1200": operation.ErrorValidation,
	} {
		f := answered(t, 200, code)
		require.Equal(t, want, f.Type, code)
		require.False(t, f.Retryable, code)
	}
}

// answered is the failure of an update that is answered with a code.
func answered(t *testing.T, status int, code string) *operation.Failure {
	t.Helper()
	p := serve(t, tsptest.Exchange{
		Method: "GET", Path: common + "&description=x&driveruid=1-12345-ABCDEF&lang=en&outputformat=json&useISO8601=true&useUTF8=true",
		Status: status, AnswerHeader: map[string]string{"X-Webfleet-Errorcode": code},
	})
	_, err := p.UpdateUser(t.Context(), connection(), update(changes{operation.FieldNotes: text("x")}))
	return tsptest.Failure(t, err)
}

// box is the adapter in front of a sandbox, which is strict and keeps what is written.
func box(t *testing.T, own settings) (*webfleet.Provider, tsp.Connection) {
	t.Helper()
	sb := sandbox.New(sandbox.Config{Parts: []sandbox.Part{webfleetbox.Part()}})
	server := httptest.NewServer(sb.Handler())
	t.Cleanup(func() {
		sb.Close()
		server.Close()
	})
	for _, seed := range sandbox.Seeds([]sandbox.Part{webfleetbox.Part()}) {
		if seed.Provider == webfleet.Name {
			p := webfleet.New(httpcall.New(httpcall.Config{}), webfleet.Config{BaseURL: server.URL + "/webfleet"})
			return p, tsp.Connection{Credentials: seed.Credentials, Settings: own}
		}
	}
	t.Fatal("the sandbox has no connection of the provider")
	return nil, tsp.Connection{}
}

func TestSandbox_CreateUpdateReadList(t *testing.T) {
	t.Parallel()
	for _, own := range []settings{{"driver_number": "true"}, {"driver_number": "true", "split_name": "true", "name1": "true"}} {
		p, conn := box(t, own)
		user := tsp.UserCreate{Changes: changes{
			operation.FieldEmployeeNumber: text("N1"), operation.FieldFirstName: text("Ann"), operation.FieldLastName: text("Lee"),
			operation.FieldPhoneNumber: text("5550100144"), operation.FieldPhoneCountryCode: text("+1"),
		}}
		created, err := p.CreateUser(t.Context(), conn, user)
		require.NoError(t, err)
		user.Repeat = true
		again, err := p.CreateUser(t.Context(), conn, user)
		require.NoError(t, err)
		require.Equal(t, created.SourceID, again.SourceID)

		_, err = p.UpdateUser(t.Context(), conn, tsp.UserUpdate{SourceID: created.SourceID, Changes: changes{
			operation.FieldLastName: text("Chan"), operation.FieldEmployeeNumber: text("N2"), operation.FieldCountryCode: text("CAN"),
		}})
		require.NoError(t, err)
		held, err := p.ReadUser(t.Context(), conn, created.SourceID)
		require.NoError(t, err)
		for f, want := range map[operation.Field]string{
			operation.FieldFirstName: "Ann", operation.FieldLastName: "Chan", operation.FieldEmployeeNumber: "N2",
			operation.FieldCountryCode: "CAN", operation.FieldPhoneNumber: "5550100144",
		} {
			require.Equal(t, text(want), held[f], f)
		}
		page, err := p.ListUsers(t.Context(), conn, "")
		require.NoError(t, err)
		require.Len(t, page.Users, 101)

		user.Changes = changes{operation.FieldEmployeeNumber: text("N2"), operation.FieldFirstName: text("Other"), operation.FieldLastName: text("Man")}
		_, err = p.CreateUser(t.Context(), conn, user)
		require.Equal(t, operation.ErrorValidation, tsptest.Failure(t, err).Type, "another driver is not taken over")
	}
}

func TestSandbox_TenCallsAMinute(t *testing.T) {
	t.Parallel()
	p, conn := box(t, nil)
	u := tsp.UserUpdate{SourceID: webfleetbox.UserID(5), Changes: changes{operation.FieldNotes: text("x")}}
	for range 10 {
		_, err := p.UpdateUser(t.Context(), conn, u)
		require.NoError(t, err)
	}
	_, err := p.UpdateUser(t.Context(), conn, u)
	require.Equal(t, time.Minute, tsptest.Failure(t, err).RetryAfter, "the error is in the headers of an empty answer")
	conn.Credentials = tsp.Credentials{"account": "sandbox-c5", "username": "u", "password": "wrong-one", "apikey": "wrong-key"}
	_, err = p.UpdateUser(t.Context(), conn, u)
	require.Equal(t, operation.ErrorAuth, tsptest.Failure(t, err).Type)
}
