package motive_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/motive"
	"writeback/pkg/tsp/tsptest"
)

const (
	token  = "planted-motive-token"
	userID = "800001"
	path   = "/v1/users/800001"
)

type (
	changes  = operation.Changes
	settings = map[string]string
)

var (
	text = operation.Text
	flag = operation.Flag
	null = operation.Null
)

var everySwitch = settings{
	"non_driver_role": "fleet_user", "weak_rulesets": "true", "extra_time_zones": "true",
}

func get(t *testing.T, file string) tsptest.Exchange {
	return tsptest.Exchange{
		Method: http.MethodGet, Path: path, Answer: tsptest.File(t, file),
		Header: map[string]string{"Authorization": "Bearer " + token},
	}
}

func getUser(answer string) tsptest.Exchange {
	return tsptest.Exchange{Method: http.MethodGet, Path: path, Answer: answer}
}

// put expects the body and answers with the keys that a driver's record shows.
func put(body string) tsptest.Exchange {
	return tsptest.Exchange{
		Method: http.MethodPut, Path: path, Body: body, Answer: `{"user":{"id":800001}}`,
		Header: map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json"},
	}
}

func update(t *testing.T, s settings, c changes, exchanges ...tsptest.Exchange) (tsp.Result, error) {
	t.Helper()
	return updateWith(t, tsp.Credentials{"access_token": token}, s, c, exchanges...)
}

func updateWith(t *testing.T, creds tsp.Credentials, s settings, c changes, exchanges ...tsptest.Exchange) (tsp.Result, error) {
	t.Helper()
	server := tsptest.NewServer(t, exchanges...)
	p := motive.New(httpcall.New(httpcall.Config{}), motive.Config{BaseURL: server.URL})
	return p.UpdateUser(t.Context(), tsp.Connection{Credentials: creds, Settings: s}, tsp.UserUpdate{SourceID: userID, Changes: c})
}

func refusal(t *testing.T, err error) *operation.Failure {
	t.Helper()
	f := tsptest.Failure(t, err)
	require.Equal(t, operation.ErrorValidation, f.Type)
	require.False(t, f.Retryable)
	return f
}

func TestUpdate_WholeDriverIsTheDocumentedBody(t *testing.T) {
	t.Parallel()
	result, err := update(t, nil, changes{
		operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Whitfield"),
		operation.FieldPhoneNumber: text("(555) 010-0199"), operation.FieldPhoneCountryCode: text("+1"),
		operation.FieldDefaultTimeZone: text("America/New_York"), operation.FieldEmployeeNumber: text("10442"),
		operation.FieldLicenseNumber: text("W1234567"), operation.FieldLicenseRegion: text("US-OH"),
		operation.FieldLicenseCountry: text("USA"), operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8"),
		operation.FieldAllowAdverseDriving: flag(true), operation.FieldAllowYardMove: flag(true),
		operation.FieldAllowPersonalConveyance: flag(true), operation.FieldHOSComplianceType: text("non_exempt"),
		operation.FieldHOSTrackingMethod: text("automatic"),
	}, get(t, "testdata/user.json"), tsptest.Exchange{
		Method: http.MethodPut, Path: path, Answer: tsptest.File(t, "testdata/user.json"),
		Body: `{"first_name":"Dana","last_name":"Whitfield","phone":"5550100199","phone_country_code":"+1",
 "time_zone":"Eastern Time (US & Canada)","driver_company_id":"10442","drivers_license_number":"W1234567",
 "drivers_license_state":"OH","cycle":"70_8","exception_24_hour_restart":false,"exception_8_hour_break":false,
 "exception_wait_time":false,"exception_short_haul":false,"exception_ca_farm_school_bus":false,
 "exception_adverse_driving":true,"eld_mode":"logs","time_tracking_mode":"logs",
 "yard_moves_enabled":true,"personal_conveyance_enabled":true}`,
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, result.StatusCode)
}

// fieldCase is one field alone: its value, and the body that it becomes. An empty
// body is a refusal.
type fieldCase struct {
	field operation.Field
	value operation.Value
	body  string
}

var fieldCases = []fieldCase{
	{operation.FieldUsername, text("dana.w"), `{"username":"dana.w"}`},
	{operation.FieldUsername, null(), `{"username":null}`},
	{operation.FieldIsActive, flag(true), `{"status":"active"}`},
	{operation.FieldIsActive, flag(false), `{"status":"deactivated"}`},
	{operation.FieldIsActive, null(), ""},
	{operation.FieldStatus, text("ACTIVE"), `{"status":"active"}`},
	{operation.FieldStatus, text("INACTIVE"), `{"status":"deactivated"}`},
	{operation.FieldStatus, null(), ""},
	{operation.FieldIsDriver, flag(true), `{"role":"driver"}`},
	{operation.FieldIsDriver, flag(false), ""},
	{operation.FieldIsDriver, null(), ""},
	{operation.FieldUserDesignation, text("Line haul"), ""},
	{operation.FieldUserDesignation, null(), ""},
	{operation.FieldUserEmail, text("new@example.com"), `{"email":"new@example.com"}`},
	{operation.FieldUserEmail, null(), `{"email":null}`},
	{operation.FieldFirstName, text("Ann"), `{"first_name":"Ann"}`},
	{operation.FieldFirstName, null(), ""},
	{operation.FieldLastName, text("Lee"), `{"last_name":"Lee"}`},
	{operation.FieldLastName, null(), ""},
	{operation.FieldPhoneNumber, text("555.010.0144"), `{"phone":"5550100144"}`},
	{operation.FieldPhoneNumber, text("+1 555 010 0144"), `{"phone":"5550100144","phone_country_code":"+1"}`},
	{operation.FieldPhoneNumber, text("1-555-010-0144"), `{"phone":"5550100144","phone_country_code":"+1"}`},
	{operation.FieldPhoneNumber, text("+52 55 5010 0144"), `{"phone":"5550100144","phone_country_code":"+52"}`},
	{operation.FieldPhoneNumber, text("+49 30 1234567"), ""},
	{operation.FieldPhoneNumber, text("555 CALL ME"), ""},
	{operation.FieldPhoneNumber, text(""), ""},
	{operation.FieldPhoneNumber, null(), `{"phone":null}`},
	{operation.FieldCountryCode, text("USA"), ""},
	{operation.FieldCountryCode, null(), ""},
	{operation.FieldLicenseCountry, text("USA"), ""},
	{operation.FieldLicenseCountry, null(), ""},
	{operation.FieldLicenseRegion, text("CA-ON"), `{"drivers_license_state":"ON"}`},
	{operation.FieldLicenseRegion, text("oh"), `{"drivers_license_state":"OH"}`},
	{operation.FieldLicenseRegion, text("Ohio"), ""},
	{operation.FieldLicenseRegion, null(), `{"drivers_license_state":null}`},
	{operation.FieldLicenseNumber, text("X99"), `{"drivers_license_number":"X99"}`},
	{operation.FieldLicenseNumber, null(), `{"drivers_license_number":null}`},
	{operation.FieldLicenseExpiration, text("2031-05-31"), ""},
	{operation.FieldLicenseExpiration, null(), ""},
	{operation.FieldEmployeeNumber, text("77"), `{"driver_company_id":"77"}`},
	{operation.FieldEmployeeNumber, null(), `{"driver_company_id":null}`},
	{operation.FieldCarrierNumber, text("98231"), ""},
	{operation.FieldCarrierNumber, null(), ""},
	{operation.FieldNotes, text("night shift"), ""},
	{operation.FieldNotes, null(), ""},
	{operation.FieldHOSRulesetCode, text("US_INT_PROP_60_7_NOBRK"), `{"cycle":"60_7","exception_24_hour_restart":false,
 "exception_8_hour_break":true,"exception_wait_time":false,"exception_short_haul":false,"exception_ca_farm_school_bus":false}`},
	{operation.FieldHOSRulesetCode, text("US_INT_PROP_60_7_SH"), ""},
	{operation.FieldHOSRulesetCode, text("US_INT_PROP_70_8_BIG"), ""},
	{operation.FieldHOSRulesetCode, null(), ""},
	{operation.FieldAllowYardMove, flag(true), `{"yard_moves_enabled":true}`},
	{operation.FieldAllowYardMove, null(), `{"yard_moves_enabled":false}`},
	{operation.FieldAllowPersonalConveyance, flag(true), `{"personal_conveyance_enabled":true}`},
	{operation.FieldAllowPersonalConveyance, null(), `{"personal_conveyance_enabled":false}`},
	{operation.FieldAllowAdverseDriving, flag(false), `{"exception_adverse_driving":false}`},
	{operation.FieldAllowAdverseDriving, null(), `{"exception_adverse_driving":false}`},
	{operation.FieldDefaultTimeZone, text("America/Phoenix"), `{"time_zone":"Arizona"}`},
	{operation.FieldDefaultTimeZone, text("America/Creston"), ""},
	{operation.FieldDefaultTimeZone, text("Pacific/Honolulu"), ""},
	{operation.FieldDefaultTimeZone, text("UTC"), ""},
	{operation.FieldDefaultTimeZone, null(), ""},
	{operation.FieldDOTID, text("77123"), `{"dot_id":"77123"}`},
	{operation.FieldDOTID, null(), `{"dot_id":null}`},
	{operation.FieldPhoneCountryCode, text("+52"), `{"phone_country_code":"+52"}`},
	{operation.FieldPhoneCountryCode, text("52"), ""},
	{operation.FieldPhoneCountryCode, null(), `{"phone_country_code":null}`},
	{operation.FieldHOSComplianceType, text("exempt"), `{"eld_mode":"exempt","time_tracking_mode":"not_required"}`},
	{operation.FieldHOSComplianceType, null(), ""},
	{operation.FieldHOSTrackingMethod, text("manual"), `{"eld_mode":"none","time_tracking_mode":"logs"}`},
	{operation.FieldHOSTrackingMethod, null(), ""},
}

// readsFirst are the fields that exist on drivers only, so that the role is read.
var readsFirst = map[operation.Field]bool{
	operation.FieldUsername: true, operation.FieldLicenseRegion: true, operation.FieldLicenseNumber: true,
	operation.FieldEmployeeNumber: true, operation.FieldHOSRulesetCode: true, operation.FieldAllowYardMove: true,
	operation.FieldAllowPersonalConveyance: true, operation.FieldAllowAdverseDriving: true,
	operation.FieldDOTID: true, operation.FieldHOSComplianceType: true, operation.FieldHOSTrackingMethod: true,
}

func TestUpdate_EachFieldAlone(t *testing.T) {
	t.Parallel()
	covered := map[operation.Field]bool{}
	for _, c := range fieldCases {
		covered[c.field] = true
		t.Run(string(c.field)+"/"+c.value.Text(), func(t *testing.T) {
			t.Parallel()
			var exchanges []tsptest.Exchange
			if c.body != "" {
				if readsFirst[c.field] {
					exchanges = append(exchanges, get(t, "testdata/user.json"))
				}
				exchanges = append(exchanges, put(c.body))
			}
			_, err := update(t, nil, changes{c.field: c.value}, exchanges...)
			if c.body != "" {
				require.NoError(t, err)
				return
			}
			require.Contains(t, refusal(t, err).Detail, string(c.field)+": ")
		})
	}
	for _, spec := range operation.UserFields {
		require.True(t, covered[spec.Name], spec.Name)
	}
}

func TestUpdate_AllRefusalsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := update(t, nil, changes{
		operation.FieldNotes: text("x"), operation.FieldFirstName: null(), operation.FieldLicenseNumber: text("W7"),
		operation.FieldDOTID: text("77123"), operation.FieldUserEmail: text("new@example.com"),
		operation.FieldHOSTrackingMethod: text("manual"),
	}, get(t, "testdata/fleet_user.json"))
	f := refusal(t, err)
	for _, field := range []string{"notes", "first_name", "license_number", "dot_id", "hos_tracking_method"} {
		require.Contains(t, f.Detail, field+": ")
	}
	require.NotContains(t, f.Detail, "user_email")
}

func TestUpdate_RefusalsComeBeforeAReadThatFails(t *testing.T) {
	t.Parallel()
	_, err := update(t, nil, changes{operation.FieldNotes: text("x"), operation.FieldLicenseNumber: text("W7")},
		tsptest.Exchange{Method: http.MethodGet, Path: path, Status: http.StatusServiceUnavailable})
	require.Contains(t, refusal(t, err).Detail, "notes: ")
}

func TestUpdate_Combinations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings settings
		changes  changes
		calls    []tsptest.Exchange
		refused  string
	}{
		"status disagrees": {changes: changes{operation.FieldIsActive: flag(true), operation.FieldStatus: text("INACTIVE")}, refused: "status: "},
		"status agrees": {
			changes: changes{operation.FieldIsActive: flag(false), operation.FieldStatus: text("INACTIVE")},
			calls:   []tsptest.Exchange{put(`{"status":"deactivated"}`)},
		},
		"licence country of another region": {
			changes: changes{operation.FieldLicenseCountry: text("CAN"), operation.FieldLicenseRegion: text("OH")},
			calls:   []tsptest.Exchange{get(t, "testdata/user.json")}, refused: "license_country: ",
		},
		"office user by setting": {
			settings: everySwitch, changes: changes{operation.FieldIsDriver: flag(false)},
			calls: []tsptest.Exchange{get(t, "testdata/user.json"), put(`{"role":"fleet_user"}`)},
		},
		"an admin stays one": {
			settings: everySwitch, changes: changes{operation.FieldIsDriver: flag(false)},
			calls: []tsptest.Exchange{getUser(`{"user":{"id":800001,"role":"admin"}}`)},
		},
		"an admin stays one beside a change": {
			settings: everySwitch, changes: changes{operation.FieldIsDriver: flag(false), operation.FieldFirstName: text("Ann")},
			calls: []tsptest.Exchange{getUser(`{"user":{"id":800001,"role":"admin"}}`), put(`{"first_name":"Ann"}`)},
		},
		"office user with a driver's field": {
			settings: everySwitch, refused: "employee_number: ",
			changes: changes{operation.FieldIsDriver: flag(false), operation.FieldEmployeeNumber: text("7")},
			calls:   []tsptest.Exchange{get(t, "testdata/user.json")},
		},
		"new driver needs no read": {
			changes: changes{operation.FieldIsDriver: flag(true), operation.FieldEmployeeNumber: text("7")},
			calls:   []tsptest.Exchange{put(`{"role":"driver","driver_company_id":"7"}`)},
		},
		"phone with another code": {
			changes: changes{operation.FieldPhoneNumber: text("+1 555 010 0144"), operation.FieldPhoneCountryCode: text("+52")},
			refused: "phone_number: ",
		},
		"phone with its code": {
			changes: changes{operation.FieldPhoneNumber: text("+49 30 1234567"), operation.FieldPhoneCountryCode: text("+49")},
			calls:   []tsptest.Exchange{put(`{"phone":"301234567","phone_country_code":"+49"}`)},
		},
		"phone with a code, code cleared": {
			changes: changes{operation.FieldPhoneNumber: text("+1 555 010 0144"), operation.FieldPhoneCountryCode: null()},
			refused: "phone_country_code: ",
		},
		"weak ruleset by setting": {
			settings: everySwitch,
			changes:  changes{operation.FieldIsDriver: flag(true), operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8_BIG")},
			calls: []tsptest.Exchange{put(`{"role":"driver","cycle":"70_8","exception_24_hour_restart":false,
 "exception_8_hour_break":false,"exception_wait_time":false,"exception_short_haul":true,"exception_ca_farm_school_bus":false}`)},
		},
		"extra zone by setting": {
			settings: everySwitch, changes: changes{operation.FieldDefaultTimeZone: text("America/St_Johns")},
			calls: []tsptest.Exchange{put(`{"time_zone":"Newfoundland"}`)},
		},
		"nothing": {changes: changes{}, refused: "nothing to write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := update(t, c.settings, c.changes, c.calls...)
			if c.refused == "" {
				require.NoError(t, err)
				return
			}
			require.Contains(t, refusal(t, err).Detail, c.refused)
		})
	}
}

func TestUpdate_HOSModes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		compliance, method, now string
		settings                settings
		eld, tracking           string // empty: refused
	}{
		{"non_exempt", "automatic", `"eld_mode":"exempt"`, nil, "logs", "logs"},
		{"non_exempt", "manual", `"eld_mode":"logs"`, nil, "none", "logs"},
		{"exempt", "", `"eld_mode":"logs"`, nil, "exempt", "not_required"},
		{"exempt", "automatic", `"eld_mode":"logs"`, nil, "exempt", "not_required"},
		{"exempt", "", `"eld_mode":"exempt","time_tracking_mode":"timecards"`, nil, "exempt", "timecards"},
		{"exempt", "manual", `"eld_mode":"logs"`, settings{"exempt_time_tracking": "timecards"}, "exempt", "timecards"},
		{"non_exempt", "", `"eld_mode":"none"`, nil, "none", "logs"},
		{"non_exempt", "", `"eld_mode":"exempt"`, nil, "logs", "logs"},
		{"non_exempt", "", `"eld_mode":"logs"`, nil, "logs", "logs"},
		{"", "automatic", `"eld_mode":"none"`, nil, "logs", "logs"},
		{"", "manual", `"eld_mode":"logs"`, nil, "none", "logs"},
		{"", "manual", `"eld_mode":"exempt"`, nil, "", ""},
		{"", "automatic", `"eld_mode":"exempt"`, nil, "", ""},
	} {
		t.Run(c.compliance+"/"+c.method+"/"+c.now, func(t *testing.T) {
			t.Parallel()
			ch := changes{}
			if c.compliance != "" {
				ch[operation.FieldHOSComplianceType] = text(c.compliance)
			}
			if c.method != "" {
				ch[operation.FieldHOSTrackingMethod] = text(c.method)
			}
			calls := []tsptest.Exchange{getUser(`{"user":{"id":800001,"role":"driver",` + c.now + `}}`)}
			if c.eld != "" {
				calls = append(calls, put(`{"eld_mode":"`+c.eld+`","time_tracking_mode":"`+c.tracking+`"}`))
			}
			_, err := update(t, c.settings, ch, calls...)
			if c.eld != "" {
				require.NoError(t, err)
				return
			}
			require.Contains(t, refusal(t, err).Detail, "hos_tracking_method: ")
		})
	}
}

func TestUpdate_ComparesTheAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changes changes
		answer  string
		missed  string // empty: applied
	}{
		"dropped text":     {changes{operation.FieldFirstName: text("Ann")}, `"first_name":"Dana"`, "first_name"},
		"dropped flag":     {changes{operation.FieldIsActive: flag(false)}, `"status":"active"`, "is_active"},
		"two fields":       {changes{operation.FieldIsActive: flag(false), operation.FieldStatus: text("INACTIVE")}, `"status":"active"`, "is_active, status"},
		"derived code":     {changes{operation.FieldPhoneNumber: text("+52 5550100144")}, `"phone":"5550100144","phone_country_code":"+1"`, "phone_number"},
		"null for a value": {changes{operation.FieldFirstName: text("Ann")}, `"first_name":null`, "first_name"},
		"number for text":  {changes{operation.FieldFirstName: text("7")}, `"first_name":7`, "first_name"},
		"not cleared":      {changes{operation.FieldUserEmail: null()}, `"email":"dana@example.com"`, "user_email"},
		"cleared as empty": {changes{operation.FieldUserEmail: null()}, `"email":""`, ""},
		"lower case login": {changes{operation.FieldUserEmail: text("Ann@Example.com")}, `"email":"ann@example.com"`, ""},
		"escaped":          {changes{operation.FieldDefaultTimeZone: text("America/Toronto")}, `"time_zone":"Eastern Time (US \u0026 Canada)"`, ""},
		"key not shown":    {changes{operation.FieldIsDriver: flag(true), operation.FieldDOTID: text("7")}, `"role":"driver"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := updateAnswered(t, c.changes, `{"user":{"id":800001,`+c.answer+`}}`)
			if c.missed == "" {
				require.Nil(t, f)
				return
			}
			require.NotNil(t, f)
			require.Equal(t, operation.ErrorValidation, f.Type)
			require.Equal(t, http.StatusOK, f.StatusCode)
			require.Equal(t, "motive: update user: the provider did not apply "+c.missed, f.Detail)
		})
	}
}

func TestUpdate_DroppedRulesetFlag(t *testing.T) {
	t.Parallel()
	f := updateAnswered(t, changes{operation.FieldIsDriver: flag(true), operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8")},
		strings.Replace(tsptest.File(t, "testdata/user.json"), `"exception_short_haul":false`, `"exception_short_haul":true`, 1))
	require.NotNil(t, f)
	require.Contains(t, f.Detail, "did not apply hos_ruleset_code")
}

// updateAnswered makes a write that needs no read, to a provider that answers
// this whatever is sent, and gives its failure.
func updateAnswered(t *testing.T, c changes, answer string) *operation.Failure {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	p := motive.New(httpcall.New(httpcall.Config{}), motive.Config{BaseURL: server.URL})
	_, err := p.UpdateUser(t.Context(), tsp.Connection{Credentials: tsp.Credentials{"access_token": token}},
		tsp.UserUpdate{SourceID: userID, Changes: c})
	if err == nil {
		return nil
	}
	return tsptest.Failure(t, err)
}

func TestUpdate_Credentials(t *testing.T) {
	t.Parallel()
	c := changes{operation.FieldFirstName: text("Ann")}
	keyed := put(`{"first_name":"Ann"}`)
	keyed.Header = map[string]string{"X-Api-Key": "planted-key", "Authorization": ""}
	_, err := updateWith(t, tsp.Credentials{"api_key": "planted-key", "access_token": token}, nil, c, keyed)
	require.NoError(t, err)

	_, err = updateWith(t, tsp.Credentials{}, nil, c)
	f := tsptest.Failure(t, err)
	require.Equal(t, operation.ErrorAuth, f.Type)
	require.False(t, f.Retryable)
}

func TestUpdate_SourceIDThatIsNoNumber(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", ".", "..", "me", "lookup", "80/0001", "80%2F0001", "800001?x=1", "800001\n"} {
		server := tsptest.NewServer(t)
		p := motive.New(httpcall.New(httpcall.Config{}), motive.Config{BaseURL: server.URL})
		conn := tsp.Connection{Credentials: tsp.Credentials{"access_token": token}}
		_, err := p.UpdateUser(t.Context(), conn, tsp.UserUpdate{SourceID: id, Changes: changes{operation.FieldFirstName: text("Ann")}})
		require.Equal(t, operation.ErrorValidation, tsptest.Failure(t, err).Type, id)
		require.Contains(t, tsptest.Failure(t, err).Detail, "source id")
		_, err = p.ReadUser(t.Context(), conn, id)
		require.Equal(t, operation.ErrorValidation, tsptest.Failure(t, err).Type, id)
	}
}

func TestUpdate_ErrorBodies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want string }{
		"message":     {tsptest.File(t, "testdata/error_400.json"), ": Date range cannot be greater than 30 days"},
		"by field":    {tsptest.File(t, "testdata/error_422.json"), ": eld_mode: is not valid, needs time_tracking_mode; username: has already been taken"},
		"list":        {`{"errors":["one","two"]}`, ": one, two"},
		"text":        {`{"errors":"one"}`, ": one"},
		"other JSON":  {`{"detail":"one","id":8000051234}`, `: detail: one; id: 8000051234`},
		"other text":  {`"one"`, `: one`},
		"escaped":     {`{"detail":"Ann\u0040Example.com is taken"}`, `: detail: [hidden] is taken`},
		"page":        {`<html>down</html>`, ""},
		"own data":    {`{"error_message":"ann@example.com or 5550100144 is taken, by ` + token + `"}`, ": [hidden] or [hidden] is taken, by [hidden]"},
		"empty":       {``, ""},
		"empty error": {`{}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := put(`{"email":"Ann@Example.com","phone":"5550100144","phone_country_code":"+1"}`)
			want.Status, want.Answer = http.StatusUnprocessableEntity, c.body
			_, err := update(t, nil, changes{
				operation.FieldUserEmail: text("Ann@Example.com"), operation.FieldPhoneNumber: text("+1 555-010-0144"),
			}, want)
			require.Equal(t, "motive: update user: the provider answered 422"+c.want, refusal(t, err).Detail)
		})
	}
}
