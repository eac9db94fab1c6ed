package gpsinsight_test

import (
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
