package samsara_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/samsara"
	samsarabox "writeback/pkg/tsp/samsara/box"
	"writeback/pkg/tsp/tsptest"
)

// against is the adapter in front of a sandbox, which is strict and keeps what is
// written.
type against struct {
	*samsara.Provider
	t    *testing.T
	url  string
	conn tsp.Connection
}

func inSandbox(t *testing.T, cfg sandbox.Config, own samsarabox.Config) against {
	t.Helper()
	cfg.Parts = []sandbox.Part{samsarabox.Part(own)}
	box := sandbox.New(cfg)
	server := httptest.NewServer(box.Handler())
	t.Cleanup(func() {
		box.Close()
		server.Close()
	})
	seeds := sandbox.Seeds(cfg.Parts)
	return against{
		Provider: samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL + "/samsara"}),
		t:        t, url: server.URL,
		conn: tsp.Connection{Credentials: seeds[0].Credentials, Settings: settings{"employee_external_id": "payrollId"}},
	}
}

func (a against) control(method, path, body string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.url+"/_control"+path, bytes.NewReader([]byte(body)))
	require.NoError(a.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(a.t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Less(a.t, resp.StatusCode, 300)
}

// walk lists all users.
func (a against) walk() map[string]changes {
	a.t.Helper()
	all := map[string]changes{}
	for cursor := ""; ; {
		page, err := a.ListUsers(a.t.Context(), a.conn, cursor)
		require.NoError(a.t, err)
		for _, u := range page.Users {
			require.NotContains(a.t, all, u.SourceID)
			all[u.SourceID] = u.Fields
		}
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

func TestSandbox_CreateReadUpdateList(t *testing.T) {
	t.Parallel()
	a := inSandbox(t, sandbox.Config{UsersPerConnection: 450}, samsarabox.Config{})
	sent := with(changes{
		operation.FieldUserEmail: text("ann@example.com"), operation.FieldPhoneNumber: text("5550100144"),
		operation.FieldLicenseRegion: text("PA"), operation.FieldLicenseNumber: text("N77"), operation.FieldNotes: text("new"),
		operation.FieldEmployeeNumber: text("N1"), operation.FieldDOTID: text("77"), operation.FieldAllowYardMove: flag(true),
		operation.FieldDefaultTimeZone: text("America/Chicago"), operation.FieldHOSRulesetCode: text("US_INT_PROP_60_7_BIG"),
		operation.FieldHOSComplianceType: text("exempt"), operation.FieldIsActive: flag(true), operation.FieldIsDriver: flag(true),
	})
	created, err := a.CreateUser(t.Context(), a.conn, tsp.UserCreate{OperationID: createID, Changes: sent})
	require.NoError(t, err)
	held, err := a.ReadUser(t.Context(), a.conn, created.SourceID)
	require.NoError(t, err)
	for f, v := range sent {
		require.Equal(t, v, held[f], f)
	}

	_, err = a.UpdateUser(t.Context(), a.conn, tsp.UserUpdate{SourceID: created.SourceID, Changes: changes{
		operation.FieldIsActive: flag(false), operation.FieldEmployeeNumber: text("N2"), operation.FieldHOSRulesetCode: null(),
	}})
	require.NoError(t, err)
	all := a.walk()
	require.Len(t, all, 451)
	require.Equal(t, flag(false), all[created.SourceID][operation.FieldIsActive])
	require.Equal(t, text("N2"), all[created.SourceID][operation.FieldEmployeeNumber])
	require.Equal(t, null(), all[created.SourceID][operation.FieldHOSRulesetCode])

	again, err := a.CreateUser(t.Context(), a.conn, tsp.UserCreate{OperationID: createID, Changes: sent, Repeat: true})
	require.NoError(t, err)
	require.Equal(t, created.SourceID, again.SourceID, "an update keeps the operation's external id")
}

func TestSandbox_LostAnswerMakesNoSecondDriver(t *testing.T) {
	t.Parallel()
	a := inSandbox(t, sandbox.Config{}, samsarabox.Config{})
	a.control("POST", "/faults", `{"provider":"samsara","reset":true,"apply":true,"count":1}`)
	user := tsp.UserCreate{OperationID: createID, Changes: person}
	_, err := a.CreateUser(t.Context(), a.conn, user)
	require.Equal(t, operation.ErrorNetwork, tsptest.Failure(t, err).Type)
	user.Repeat = true
	created, err := a.CreateUser(t.Context(), a.conn, user)
	require.NoError(t, err)
	require.Len(t, a.walk(), 101)

	user.OperationID[15]++
	_, err = a.CreateUser(t.Context(), a.conn, user)
	require.Equal(t, operation.ErrorValidation, tsptest.Failure(t, err).Type, "another operation does not take the driver")
	require.NotEmpty(t, created.SourceID)
}

func TestSandbox_TokensRotate(t *testing.T) {
	t.Parallel()
	a := inSandbox(t, sandbox.Config{}, samsarabox.Config{OAuth: true})
	old := a.conn
	for range 3 {
		a.control("DELETE", "/sessions", "")
		_, err := a.ReadUser(t.Context(), a.conn, "494105")
		require.True(t, tsptest.Failure(t, err).Refresh)
		fresh, err := a.Refresh(t.Context(), a.conn)
		require.NoError(t, err)
		require.True(t, a.Fresh(fresh, time.Now()))
		require.False(t, a.Fresh(fresh, time.Now().Add(time.Hour)))
		a.conn.Credentials = fresh
		_, err = a.ReadUser(t.Context(), a.conn, "494105")
		require.NoError(t, err)
	}
	_, err := a.Refresh(t.Context(), old)
	f := tsptest.Failure(t, err)
	require.Equal(t, operation.ErrorAuth, f.Type)
	require.False(t, f.Retryable)
	require.Contains(t, f.Detail, "invalid_grant")
}

func TestSandbox_TokenScopedByTags(t *testing.T) {
	t.Parallel()
	a := inSandbox(t, sandbox.Config{}, samsarabox.Config{TagScoped: true})
	notes := tsp.UserUpdate{SourceID: samsarabox.UserID(1, 5), Changes: changes{operation.FieldNotes: text("n")}}
	_, err := a.UpdateUser(t.Context(), a.conn, notes)
	require.Contains(t, tsptest.Failure(t, err).Detail, "tagIds")
	user := tsp.UserCreate{OperationID: createID, Changes: person}
	_, err = a.CreateUser(t.Context(), a.conn, user)
	require.Contains(t, tsptest.Failure(t, err).Detail, "tagIds")

	a.conn.Settings["tag_scoped"], a.conn.Settings["create_tags"] = "true", "3914"
	_, err = a.UpdateUser(t.Context(), a.conn, notes)
	require.NoError(t, err)
	_, err = a.CreateUser(t.Context(), a.conn, user)
	require.NoError(t, err)
}
