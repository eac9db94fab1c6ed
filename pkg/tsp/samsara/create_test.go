package samsara_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/samsara"
	"writeback/pkg/tsp/tsptest"
)

var (
	createID  = uuid.MustParse("0190a7d0-4c11-7abc-8def-0123456789ab")
	reference = "0190a7d04c117abc8def0123456789ab"
	person    = changes{
		operation.FieldUsername: text("ann.lee"), operation.FieldFirstName: text("Ann"), operation.FieldLastName: text("Lee"),
	}
)

// with gives the person with more fields.
func with(more changes) changes {
	out := changes{}
	for _, c := range []changes{person, more} {
		for f, v := range c {
			out[f] = v
		}
	}
	return out
}

// draft gives what a create would send: the dry run has the password masked, so
// that whole bodies can be compared.
func draft(t *testing.T, s settings, c changes) (map[string]any, error) {
	t.Helper()
	server := tsptest.NewServer(t)
	p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
	d := &httpcall.Draft{}
	_, err := p.CreateUser(httpcall.WithDraft(t.Context(), d), connection(s), tsp.UserCreate{OperationID: createID, Changes: c})
	if len(d.Calls) == 0 {
		return nil, err
	}
	require.ErrorIs(t, err, httpcall.ErrDraft)
	require.Len(t, d.Calls, 1)
	require.Equal(t, http.MethodPost, d.Calls[0].Method)
	require.Equal(t, "/fleet/drivers", d.Calls[0].Path)
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(d.Calls[0].Body), &body))
	return body, nil
}

func TestCreateUser_Body(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		settings settings
		changes  changes
		more     string
	}{
		{name: "least"},
		{name: "states of a new driver", changes: changes{
			operation.FieldIsActive: flag(true), operation.FieldStatus: text("ACTIVE"), operation.FieldIsDriver: flag(true),
			operation.FieldHOSTrackingMethod: text("automatic"),
		}},
		{name: "nothing to clear", changes: changes{
			operation.FieldNotes: null(), operation.FieldCarrierNumber: null(), operation.FieldEmployeeNumber: null(),
			operation.FieldHOSRulesetCode: null(), operation.FieldIsActive: null(), operation.FieldIsDriver: null(),
		}},
		{name: "fields", settings: settings{"employee_external_id": "payrollId"}, changes: changes{
			operation.FieldUserEmail: text("a@example.com"), operation.FieldPhoneNumber: text("5550100144"),
			operation.FieldPhoneCountryCode: text("+1"), operation.FieldLicenseCountry: text("USA"),
			operation.FieldLicenseRegion: text("US-PA"), operation.FieldDOTID: text("0077"), operation.FieldEmployeeNumber: text("E1"),
			operation.FieldAllowYardMove: flag(true),
		}, more: `{"email":"a@example.com","phone":"+1 5550100144","licenseState":"PA","carrierSettings":{"dotNumber":77},
			"externalIds":{"payrollId":"E1","writeback":"` + reference + `"},"eldYmEnabled":true}`},
		{name: "tags", settings: settings{"tag_scoped": "true", "create_tags": "3914, 4815"}, more: `{"tagIds":["3914","4815"]}`},
		{name: "ruleset", changes: changes{operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8")}, more: `{
			"usDriverRulesetOverride":{"cycle":"USA Property (8/70)","restart":"34-hour Restart","restbreak":"Property (off-duty/sleeper)","usStateToOverride":""},
			"eldBigDayExemptionEnabled":false}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := map[string]any{
				"name": "Ann Lee", "username": "ann.lee", "password": "*****", "externalIds": map[string]any{"writeback": reference},
			}
			if tt.more != "" {
				require.NoError(t, json.Unmarshal([]byte(tt.more), &want))
			}
			body, err := draft(t, tt.settings, with(tt.changes))
			require.NoError(t, err)
			require.Equal(t, want, body)
		})
	}
}

func TestCreateUser_Refused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		settings settings
		changes  changes
		says     []string
	}{
		{name: "inactive", changes: changes{operation.FieldIsActive: flag(false), operation.FieldStatus: text("INACTIVE")},
			says: []string{"is_active: a new driver is active", "status: a new driver is active"}},
		{name: "office user", changes: changes{operation.FieldIsDriver: flag(false)}, says: []string{"is_driver: only drivers can be created"}},
		{name: "code without a number", changes: changes{operation.FieldPhoneCountryCode: text("+1")}, says: []string{"phone_country_code"}},
		{name: "country without a region", changes: changes{operation.FieldLicenseCountry: text("USA")}, says: []string{"license_country"}},
		{name: "all at once", changes: changes{operation.FieldUserDesignation: text("x"), operation.FieldUsername: text("a b"), operation.FieldIsDriver: flag(false)},
			says: []string{"user_designation", "username", "is_driver"}},
		{name: "tags needed", settings: settings{"tag_scoped": "true"}, says: []string{"create_tags"}},
		{name: "the operation's own key", settings: settings{"employee_external_id": "writeback"},
			changes: changes{operation.FieldEmployeeNumber: text("E1")}, says: []string{"employee_number"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body, err := draft(t, tt.settings, with(tt.changes))
			require.Empty(t, body)
			f := tsptest.Failure(t, err)
			require.Equal(t, operation.ErrorValidation, f.Type)
			for _, words := range tt.says {
				require.Contains(t, f.Detail, words)
			}
		})
	}
}

func TestCreateUser_RepeatTakesOnlyTheDriverOfTheOperation(t *testing.T) {
	t.Parallel()
	lookup := get(t)
	lookup.Path = "/fleet/drivers/writeback:" + reference
	create := func(t *testing.T, exchanges ...tsptest.Exchange) (tsp.Created, error) {
		server := tsptest.NewServer(t, exchanges...)
		p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
		return p.CreateUser(t.Context(), connection(nil), tsp.UserCreate{OperationID: createID, Changes: person, Repeat: true})
	}
	t.Run("found", func(t *testing.T) {
		t.Parallel()
		found := lookup
		found.Answer = `{"data":{"id":"7","externalIds":{"writeback":"` + reference + `"}}}`
		created, err := create(t, found)
		require.NoError(t, err)
		require.Equal(t, "7", created.SourceID)
		require.Equal(t, http.StatusOK, created.StatusCode)
	})
	t.Run("another driver", func(t *testing.T) {
		t.Parallel()
		_, err := create(t, lookup)
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorTSP, f.Type)
		require.True(t, f.Retryable)
	})
}

func TestCreateUser_EmailThatIsNotTaken(t *testing.T) {
	t.Parallel()
	for _, repeat := range []bool{false, true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"data":{"id":"7","externalIds":{"writeback":"`+reference+`"}}}`)
		}))
		t.Cleanup(server.Close)
		p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
		_, err := p.CreateUser(t.Context(), connection(nil), tsp.UserCreate{
			OperationID: createID, Changes: with(changes{operation.FieldUserEmail: text("ann@example.com")}), Repeat: repeat,
		})
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorValidation, f.Type)
		require.Equal(t, "samsara: create driver: the driver was created with the id 7, but the provider did not apply user_email", f.Detail)
	}
}

func TestCreateUser_NoTokenIsAnAuthFailure(t *testing.T) {
	t.Parallel()
	server := tsptest.NewServer(t)
	p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
	_, err := p.CreateUser(t.Context(), tsp.Connection{}, tsp.UserCreate{Changes: person})
	require.Equal(t, operation.ErrorAuth, tsptest.Failure(t, err).Type)
	_, err = p.ListUsers(t.Context(), tsp.Connection{}, "")
	require.Equal(t, operation.ErrorAuth, tsptest.Failure(t, err).Type)
	_, err = p.ReadUser(t.Context(), tsp.Connection{}, userID)
	require.Equal(t, operation.ErrorAuth, tsptest.Failure(t, err).Type)
}
