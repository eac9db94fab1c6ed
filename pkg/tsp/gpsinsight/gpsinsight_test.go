package gpsinsight_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/gpsinsight"
	gpsinsightbox "writeback/pkg/tsp/gpsinsight/box"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
)

func TestUpdate_SendsTheOperationAsReference(t *testing.T) {
	t.Parallel()
	for number, want := range map[[2]string]string{
		{"+1 (555) 010-0144", ""}: "5550100144", {"5550100144", "+1"}: "5550100144", {"15550100144", "+1"}: "5550100144",
		{"5550100144", "+52"}: "525550100144", {"+525550100144", "+52"}: "525550100144", {"555-0144", ""}: "5550144",
		{"030 123456", "+49"}: "4930123456",
	} {
		server := tsptest.NewServer(t, tsptest.Exchange{
			Method: "GET",
			Path: "/driver/update?driver=4551485&lastname=van%20Dyke&phone=" + want +
				"&reference_tag=0190a7d0-4c11-7abc-8def-0123456789ab&session_token=planted-session",
			Answer: tsptest.File(t, "testdata/update.json"),
		})
		p := gpsinsight.New(httpcall.New(httpcall.Config{}), gpsinsight.Config{BaseURL: server.URL})
		sent := changes{operation.FieldLastName: text("van Dyke"), operation.FieldPhoneNumber: text(number[0])}
		if number[1] != "" {
			sent[operation.FieldPhoneCountryCode] = text(number[1])
		}
		_, err := p.UpdateUser(t.Context(), connection(), tsp.UserUpdate{
			OperationID: uuid.MustParse("0190a7d0-4c11-7abc-8def-0123456789ab"), SourceID: driverID, Changes: sent,
		})
		require.NoError(t, err)
	}
}

func TestUpdate_Refusals(t *testing.T) {
	t.Parallel()
	p := gpsinsight.New(httpcall.New(httpcall.Config{}), gpsinsight.Config{BaseURL: tsptest.NewServer(t).URL})
	for want, sent := range map[string]changes{
		"user_email: the provider cannot clear":                {operation.FieldUserEmail: operation.Null()},
		"user_email: must not be empty":                        {operation.FieldUserEmail: text(" ")},
		"phone_country_code: can be written only":              {operation.FieldPhoneCountryCode: text("+1")},
		"phone_number: does not begin":                         {operation.FieldPhoneNumber: text(" +49301"), operation.FieldPhoneCountryCode: text("+1")},
		"default_time_zone: it is not published":               {operation.FieldDefaultTimeZone: text("UTC")},
		"notes: the provider has no such field":                {operation.FieldNotes: text("x")},
		"is_driver: only drivers are written at this provider": {operation.FieldIsDriver: flag(false)},
	} {
		_, err := p.UpdateUser(t.Context(), connection(), tsp.UserUpdate{SourceID: driverID, Changes: sent})
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorValidation, f.Type)
		require.Contains(t, f.Detail, want)
	}
	_, err := p.UpdateUser(t.Context(), connection(), tsp.UserUpdate{SourceID: "4&x=y", Changes: changes{operation.FieldLastName: text("x")}})
	require.Contains(t, tsptest.Failure(t, err).Detail, "no number")
}

// TestUpdate_ErrorsByTheEnvelope: what is around the data says how the call went, whatever the
// status and the data say.
func TestUpdate_ErrorsByTheEnvelope(t *testing.T) {
	t.Parallel()
	type class struct {
		kind               operation.ErrorType
		retryable, refresh bool
	}
	session := class{kind: operation.ErrorAuth, refresh: true}
	passing := class{kind: operation.ErrorTSP, retryable: true}
	for _, tt := range []struct {
		status int
		errors string
		want   class
	}{
		{200, `"head":{"status":"ERROR"}`, passing},
		{200, `"head":{"status":"ERROR"},"errors":[]`, passing},
		{200, `"head":{"status":"OK"},"errors":[{"code":403,"message":"no"}]`, session},
		{403, `"head":{"status":"ERROR"},"errors":[{"code":403,"message":"no"}]`, session},
		{500, `"head":{"status":"ERROR"},"errors":[{"code":403,"message":"no"}]`, session},
		{200, `"head":{"status":"ERROR"},"errors":[{"code":401,"message":"no"}]`, session},
		{200, `"head":{"status":"ERROR"},"errors":[{"code":400,"message":"no"}]`, class{kind: operation.ErrorValidation}},
		{200, `"head":{"status":"ERROR"},"errors":[{"code":404,"message":"no"}]`, class{kind: operation.ErrorValidation}},
		{200, `"head":{"status":"ERROR"},"errors":[{"code":500,"message":"no"}]`, passing},
		{200, `"head":{"status":"ERROR"},"errors":[{"code":7,"message":"no"}]`, passing},
		{503, `"head":{"status":"OK"}`, passing},
		{200, `"head":{}`, passing},
	} {
		server := tsptest.NewServer(t, tsptest.Exchange{
			Method: "GET", Path: "/driver/update?driver=4551485&lastname=x&session_token=planted-session",
			Status: tt.status, Answer: "{" + tt.errors + `,"data":"Driver updated"}`,
		})
		p := gpsinsight.New(httpcall.New(httpcall.Config{}), gpsinsight.Config{BaseURL: server.URL})
		_, err := p.UpdateUser(t.Context(), connection(), tsp.UserUpdate{SourceID: driverID, Changes: changes{operation.FieldLastName: text("x")}})
		f := tsptest.Failure(t, err)
		require.Equal(t, tt.want, class{f.Type, f.Retryable, f.Refresh}, tt.errors)
		require.Equal(t, tt.status, f.StatusCode)
	}
}

// TestFormPost_NothingIsInTheAddress: an address is written into the logs of others, so that
// neither a password nor a person may stand there.
func TestFormPost_NothingIsInTheAddress(t *testing.T) {
	t.Parallel()
	conn := connection()
	conn.Settings = settings{"form_post": "true"}
	seen := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen++
		require.NoError(t, r.ParseForm())
		require.Empty(t, r.URL.RawQuery)
		require.NotEmpty(t, r.PostForm)
		_, _ = io.WriteString(w, `{"head":{"status":"OK"},"data":"?"}`)
	}))
	defer server.Close()
	p := gpsinsight.New(httpcall.New(httpcall.Config{}), gpsinsight.Config{BaseURL: server.URL})
	_, _ = p.Refresh(t.Context(), conn)
	_, _ = p.ListUsers(t.Context(), conn, "")
	_, _ = p.CreateUser(t.Context(), conn, tsp.UserCreate{Changes: changes{operation.FieldFirstName: text("A"), operation.FieldLastName: text("B")}})
	_, _ = p.UpdateUser(t.Context(), conn, tsp.UserUpdate{SourceID: driverID, Changes: changes{operation.FieldLastName: text("x")}})
	require.Equal(t, 4, seen)
}

func TestCreate_NeedsTheIDOfOneDriver(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`[]`, `{}`, `[{}]`, `[{"driver_id":""}]`, `[{"driver_id":"x"}]`, `[{"driver_id":"1"},{"driver_id":"2"}]`, `"Created"`} {
		server := tsptest.NewServer(t, tsptest.Exchange{
			Method: "GET", Path: "/driver/create?firstname=A&lastname=B&session_token=planted-session", Answer: `{"head":{"status":"OK"},"data":` + data + `}`,
		})
		p := gpsinsight.New(httpcall.New(httpcall.Config{}), gpsinsight.Config{BaseURL: server.URL})
		_, err := p.CreateUser(t.Context(), connection(), tsp.UserCreate{Changes: changes{operation.FieldFirstName: text("A"), operation.FieldLastName: text("B")}})
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorTSP, f.Type, data)
		require.Contains(t, f.Detail, "not understood", data)
	}
}

// A repeat must not take somebody with the same name and more.
func TestCreate_RepeatTakesNoNamesake(t *testing.T) {
	t.Parallel()
	server := tsptest.NewServer(t,
		tsptest.Exchange{Method: "GET", Path: "/driver/list?session_token=planted-session", Answer: tsptest.File(t, "testdata/drivers.json")},
		tsptest.Exchange{
			Method: "GET", Path: "/driver/create?firstname=Dana&lastname=Whitfield&session_token=planted-session",
			Answer: tsptest.File(t, "testdata/create.json"),
		})
	p := gpsinsight.New(httpcall.New(httpcall.Config{}), gpsinsight.Config{BaseURL: server.URL})
	made, err := p.CreateUser(t.Context(), connection(), tsp.UserCreate{Repeat: true, Changes: changes{
		operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Whitfield"), operation.FieldUserEmail: operation.Null(),
	}})
	require.NoError(t, err)
	require.Equal(t, newID, made.SourceID)
}

func TestSandbox_LoginCreateUpdateReadList(t *testing.T) {
	t.Parallel()
	sb := sandbox.New(sandbox.Config{Parts: []sandbox.Part{gpsinsightbox.Part()}})
	server := httptest.NewServer(sb.Handler())
	t.Cleanup(func() {
		sb.Close()
		server.Close()
	})
	p := gpsinsight.New(httpcall.New(httpcall.Config{}), gpsinsight.Config{BaseURL: server.URL + "/gpsinsight"})
	for _, way := range []struct {
		settings settings
		app      bool
	}{{}, {settings: settings{"form_post": "true"}}, {app: true}} {
		conn := tsp.Connection{Settings: way.settings}
		for _, seed := range sandbox.Seeds([]sandbox.Part{gpsinsightbox.Part()}) {
			if seed.Provider == gpsinsight.Name {
				conn.Credentials = seed.Credentials
			}
		}
		if way.app {
			conn.Credentials = tsp.Credentials{"app_token": gpsinsightbox.AppToken("nobody")}
			_, err := p.Refresh(t.Context(), conn)
			require.Equal(t, operation.ErrorAuth, tsptest.Failure(t, err).Type)
			conn.Credentials["app_token"] = gpsinsightbox.AppToken("northwind-c7")
		}
		conn.Credentials["session_token"] = "a-dead-session"
		_, err := p.ReadUser(t.Context(), conn, gpsinsightbox.UserID(5))
		require.True(t, tsptest.Failure(t, err).Refresh)
		conn.Credentials, err = p.Refresh(t.Context(), conn)
		require.NoError(t, err)

		created, err := p.CreateUser(t.Context(), conn, tsp.UserCreate{Changes: changes{
			operation.FieldFirstName: text("Ann"), operation.FieldLastName: text("Lee"), operation.FieldPhoneNumber: text("+1 555 010 0144"),
		}})
		require.NoError(t, err)
		_, err = p.UpdateUser(t.Context(), conn, tsp.UserUpdate{SourceID: created.SourceID, Changes: changes{operation.FieldLastName: text("Chan")}})
		require.NoError(t, err)
		held, err := p.ReadUser(t.Context(), conn, created.SourceID)
		require.NoError(t, err)
		require.Equal(t, text("Chan"), held[operation.FieldLastName])
		require.Equal(t, text("5550100144"), held[operation.FieldPhoneNumber])
		page, err := p.ListUsers(t.Context(), conn, "")
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(page.Users), 101)
	}
}
