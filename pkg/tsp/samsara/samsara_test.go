package samsara_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/samsara"
	"writeback/pkg/tsp/tsptest"
)

const (
	token  = "planted-samsara-token"
	userID = "494123"
	path   = "/fleet/drivers/494123"
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

func connection(s settings) tsp.Connection {
	return tsp.Connection{Credentials: tsp.Credentials{"access_token": token}, Settings: s}
}

func get(t *testing.T) tsptest.Exchange {
	return tsptest.Exchange{
		Method: http.MethodGet, Path: path, Answer: tsptest.File(t, "testdata/driver.json"),
		Header: map[string]string{"Authorization": "Bearer " + token},
	}
}

func patch(t *testing.T, body string) tsptest.Exchange {
	return tsptest.Exchange{
		Method: http.MethodPatch, Path: path, Body: body, Answer: tsptest.File(t, "testdata/driver.json"),
		Header: map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json"},
	}
}

func update(t *testing.T, s settings, c changes, exchanges ...tsptest.Exchange) (tsp.Result, error) {
	t.Helper()
	server := tsptest.NewServer(t, exchanges...)
	p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
	return p.UpdateUser(t.Context(), connection(s), tsp.UserUpdate{SourceID: userID, Changes: c})
}

const keep = `"carrierName":"Acme Inc.","homeTerminalAddress":"","homeTerminalName":"","mainOfficeAddress":""`

func TestUpdateUser_Body(t *testing.T) {
	t.Parallel()
	all := settings{"employee_external_id": "payrollId", "write_locale": "true", "weak_rulesets": "true"}
	tests := []struct {
		name     string
		settings settings
		changes  changes
		body     string
		read     bool
		answer   string // empty: the fixture
	}{
		{name: "plain fields", answer: `{"data":{"id":"494123","email":"d@example.com"}}`, changes: changes{
			operation.FieldUsername: text("dana"), operation.FieldUserEmail: text("d@example.com"),
			operation.FieldLicenseNumber: text("X1"), operation.FieldLicenseRegion: text("us-pa"),
			operation.FieldNotes: text("n"), operation.FieldDefaultTimeZone: text("America/Chicago"),
			operation.FieldAllowYardMove: flag(true), operation.FieldAllowPersonalConveyance: flag(false),
			operation.FieldAllowAdverseDriving: flag(true),
		}, body: `{"username":"dana","email":"d@example.com","licenseNumber":"X1","licenseState":"PA","notes":"n",
			"timezone":"America/Chicago","eldYmEnabled":true,"eldPcEnabled":false,"eldAdverseWeatherExemptionEnabled":true}`},
		{name: "cleared fields", changes: changes{
			operation.FieldUserEmail: null(), operation.FieldPhoneNumber: null(), operation.FieldLicenseRegion: null(),
			operation.FieldLicenseNumber: null(), operation.FieldNotes: null(), operation.FieldHOSRulesetCode: null(),
			operation.FieldAllowYardMove: null(), operation.FieldAllowPersonalConveyance: null(), operation.FieldAllowAdverseDriving: null(),
		}, body: `{"email":"","phone":"","licenseState":"","licenseNumber":"","notes":"","usDriverRulesetOverride":null,
			"eldYmEnabled":false,"eldPcEnabled":false,"eldAdverseWeatherExemptionEnabled":false}`},
		{name: "activation", changes: changes{operation.FieldIsActive: flag(false), operation.FieldStatus: text("INACTIVE")},
			body: `{"driverActivationStatus":"deactivated"}`},
		{name: "status alone", changes: changes{operation.FieldStatus: text("ACTIVE")}, body: `{"driverActivationStatus":"active"}`},
		{name: "both names", changes: changes{operation.FieldFirstName: text("Ann"), operation.FieldLastName: text("Lee")}, body: `{"name":"Ann Lee"}`},
		{name: "first name", changes: changes{operation.FieldFirstName: text("Ann")}, body: `{"name":"Ann Whitfield"}`, read: true},
		{name: "last name", changes: changes{operation.FieldLastName: text("Lee")}, body: `{"name":"Dana Lee"}`, read: true},
		{name: "phone keeps the stored code", changes: changes{operation.FieldPhoneNumber: text("5550100144")},
			body: `{"phone":"+1 5550100144"}`, read: true},
		{name: "phone in international form", changes: changes{operation.FieldPhoneNumber: text("+525550100144")}, body: `{"phone":"+525550100144"}`},
		{name: "phone with its code and no plus", changes: changes{operation.FieldPhoneNumber: text("1-555-010-0144"), operation.FieldPhoneCountryCode: text("+1")},
			body: `{"phone":"+1 555-010-0144"}`},
		{name: "phone with code", changes: changes{operation.FieldPhoneNumber: text("5550100144"), operation.FieldPhoneCountryCode: text("+1")},
			body: `{"phone":"+1 5550100144"}`},
		{name: "phone that has its code", changes: changes{operation.FieldPhoneNumber: text("+15550100144"), operation.FieldPhoneCountryCode: text("+1")},
			body: `{"phone":"+15550100144"}`},
		{name: "phone with a trunk prefix", changes: changes{operation.FieldPhoneNumber: text("030/123456"), operation.FieldPhoneCountryCode: text("+49")},
			body: `{"phone":"+49 30/123456"}`},
		{name: "code alone", changes: changes{operation.FieldPhoneCountryCode: text("+52")}, body: `{"phone":"+52 555 010 0199"}`, read: true},
		{name: "locale", settings: all, changes: changes{operation.FieldCountryCode: text("PRI")}, body: `{"locale":"pr"}`},
		{name: "ruleset", changes: changes{operation.FieldHOSRulesetCode: text("US_INT_PROP_60_7_BIG")},
			body: `{"usDriverRulesetOverride":{"cycle":"USA Property (7/60)","restart":"34-hour Restart",
				"restbreak":"Property (off-duty/sleeper)","usStateToOverride":""},"eldBigDayExemptionEnabled":true}`},
		{name: "weak ruleset", settings: all, changes: changes{operation.FieldHOSRulesetCode: text("US_TX_INTRA_PROP_70_7")},
			body: `{"usDriverRulesetOverride":{"cycle":"Texas (7/70)","restart":"34-hour Restart","restbreak":"None","usStateToOverride":"TX"}}`},
		{name: "DOT number", changes: changes{operation.FieldDOTID: text("0077")}, body: `{"carrierSettings":{"dotNumber":77,` + keep + `}}`, read: true},
		{name: "employee number", settings: all, changes: changes{operation.FieldEmployeeNumber: text("E1")},
			body: `{"externalIds":{"payrollId":"E1","badge":"B-7"}}`, read: true},
		{name: "employee number cleared", settings: all, changes: changes{operation.FieldEmployeeNumber: null()},
			body: `{"externalIds":{"badge":"B-7"}}`, read: true},
		{name: "exempt", settings: settings{"eld_exempt_reason": "short haul"}, changes: changes{operation.FieldHOSComplianceType: text("exempt")},
			body: `{"eldExempt":true,"eldExemptReason":"short haul"}`},
		{name: "non-exempt and automatic", changes: changes{operation.FieldHOSComplianceType: text("non_exempt"), operation.FieldHOSTrackingMethod: text("automatic")},
			body: `{"eldExempt":false}`},
		{name: "driver, and a licence country that the region implies", changes: changes{
			operation.FieldIsDriver: flag(true), operation.FieldLicenseCountry: text("CAN"), operation.FieldLicenseRegion: text("CA-ON"),
		}, body: `{"licenseState":"ON"}`},
		{name: "tags sent along", settings: settings{"tag_scoped": "true"}, changes: changes{operation.FieldNotes: text("n")},
			body: `{"notes":"n","tagIds":["3914"]}`, read: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			write := patch(t, tt.body)
			write.Answer = cmp.Or(tt.answer, write.Answer)
			exchanges := []tsptest.Exchange{write}
			if tt.read {
				exchanges = []tsptest.Exchange{get(t), write}
			}
			result, err := update(t, tt.settings, tt.changes, exchanges...)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, result.StatusCode)
		})
	}
}

func TestUpdateUser_NothingToWriteOnlyLooks(t *testing.T) {
	t.Parallel()
	for _, s := range []settings{nil, {"tag_scoped": "true"}} {
		for _, c := range []changes{
			{operation.FieldIsDriver: flag(true)},
			{operation.FieldHOSTrackingMethod: text("automatic")},
			{operation.FieldLicenseCountry: text("USA")},
			{},
		} {
			_, err := update(t, s, c, get(t))
			require.NoError(t, err)
		}
	}
}

func TestUpdateUser_Refused(t *testing.T) {
	t.Parallel()
	noPhone := get(t)
	noPhone.Answer = `{"data":{"id":"494123"}}`
	gluedPhone := get(t)
	gluedPhone.Answer = `{"data":{"id":"494123","phone":"+15550100199"}}`
	exempt := get(t)
	exempt.Answer = `{"data":{"id":"494123","eldExempt":true}}`
	tests := []struct {
		name     string
		settings settings
		changes  changes
		names    []operation.Field
		reads    []tsptest.Exchange
	}{
		{name: "all at once", changes: changes{
			operation.FieldUserDesignation: text("x"), operation.FieldLicenseExpiration: null(), operation.FieldCarrierNumber: text("x"),
			operation.FieldIsDriver: flag(false), operation.FieldHOSTrackingMethod: text("manual"), operation.FieldNotes: text("fine"),
		}, names: []operation.Field{
			operation.FieldUserDesignation, operation.FieldLicenseExpiration, operation.FieldCarrierNumber,
			operation.FieldIsDriver, operation.FieldHOSTrackingMethod,
		}},
		{name: "status contradicts", changes: changes{operation.FieldIsActive: flag(true), operation.FieldStatus: text("INACTIVE")},
			names: []operation.Field{operation.FieldStatus, operation.FieldIsActive}},
		{name: "no login", changes: changes{operation.FieldUsername: text("")}, names: []operation.Field{operation.FieldUsername}},
		{name: "no region's two letters", changes: changes{operation.FieldLicenseRegion: text("Ohio")}, names: []operation.Field{operation.FieldLicenseRegion}},
		{name: "no letters", changes: changes{operation.FieldLicenseRegion: text("O1")}, names: []operation.Field{operation.FieldLicenseRegion}},
		{name: "locale not switched on", changes: changes{operation.FieldCountryCode: text("USA")}, names: []operation.Field{operation.FieldCountryCode}},
		{name: "employee number without a key", changes: changes{operation.FieldEmployeeNumber: text("E1")}, names: []operation.Field{operation.FieldEmployeeNumber}},
		{name: "employee number under the provider's own key", settings: settings{"employee_external_id": "samsara.serial"},
			changes: changes{operation.FieldEmployeeNumber: null()}, names: []operation.Field{operation.FieldEmployeeNumber}},
		{name: "weak ruleset not switched on", changes: changes{operation.FieldHOSRulesetCode: text("US_INT_PAX_70_8")}, names: []operation.Field{operation.FieldHOSRulesetCode}},
		{name: "ruleset that is not in the table", settings: settings{"weak_rulesets": "true"}, changes: changes{operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8_SH")},
			names: []operation.Field{operation.FieldHOSRulesetCode}},
		{name: "exempt but automatic", changes: changes{operation.FieldHOSComplianceType: text("exempt"), operation.FieldHOSTrackingMethod: text("automatic")},
			names: []operation.Field{operation.FieldHOSTrackingMethod}},
		{name: "automatic for an exempt driver", changes: changes{operation.FieldHOSTrackingMethod: text("automatic")},
			names: []operation.Field{operation.FieldHOSTrackingMethod}, reads: []tsptest.Exchange{exempt}},
		{name: "automatic for an exempt driver, beside a change", changes: changes{
			operation.FieldHOSTrackingMethod: text("automatic"), operation.FieldAllowYardMove: flag(true),
		}, names: []operation.Field{operation.FieldHOSTrackingMethod}, reads: []tsptest.Exchange{exempt}},
		{name: "names empty", changes: changes{operation.FieldFirstName: text(" "), operation.FieldLastName: text("")},
			names: []operation.Field{operation.FieldFirstName, operation.FieldLastName}},
		{name: "one name null", changes: changes{operation.FieldFirstName: null(), operation.FieldLastName: text("Lee")}, names: []operation.Field{operation.FieldFirstName}},
		{name: "licence country against the region", changes: changes{operation.FieldLicenseCountry: text("CAN"), operation.FieldLicenseRegion: text("OH")},
			names: []operation.Field{operation.FieldLicenseCountry}},
		{name: "licence country with a cleared region", changes: changes{operation.FieldLicenseCountry: text("USA"), operation.FieldLicenseRegion: null()},
			names: []operation.Field{operation.FieldLicenseCountry}},
		{name: "licence country against the stored region", changes: changes{operation.FieldLicenseCountry: text("CAN")},
			names: []operation.Field{operation.FieldLicenseCountry}, reads: []tsptest.Exchange{get(t)}},
		{name: "code with a cleared phone", changes: changes{operation.FieldPhoneNumber: null(), operation.FieldPhoneCountryCode: text("+1")},
			names: []operation.Field{operation.FieldPhoneCountryCode}},
		{name: "code against the phone", changes: changes{operation.FieldPhoneNumber: text("+525550100144"), operation.FieldPhoneCountryCode: text("+1")},
			names: []operation.Field{operation.FieldPhoneCountryCode}},
		{name: "code that is none", changes: changes{operation.FieldPhoneNumber: text("5550100144"), operation.FieldPhoneCountryCode: text("+01")},
			names: []operation.Field{operation.FieldPhoneCountryCode}},
		{name: "code without a stored phone", changes: changes{operation.FieldPhoneCountryCode: text("+1")},
			names: []operation.Field{operation.FieldPhoneCountryCode}, reads: []tsptest.Exchange{noPhone}},
		{name: "code that has no visible end", changes: changes{operation.FieldPhoneCountryCode: text("+1")},
			names: []operation.Field{operation.FieldPhoneCountryCode}, reads: []tsptest.Exchange{gluedPhone}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := update(t, tt.settings, tt.changes, tt.reads...)
			f := tsptest.Failure(t, err)
			require.Equal(t, operation.ErrorValidation, f.Type)
			require.False(t, f.Retryable)
			for _, name := range tt.names {
				require.Contains(t, f.Detail, string(name))
			}
			require.NotContains(t, f.Detail, "notes")
		})
	}
}

// TestUpdateUser_Lengths: what is longer than the provider takes is refused here, by its name.
func TestUpdateUser_Lengths(t *testing.T) {
	t.Parallel()
	long := func(n int) operation.Value { return text(strings.Repeat("é", n)) }
	for field, most := range map[operation.Field]int{
		operation.FieldUsername: 189, operation.FieldNotes: 4096, operation.FieldFirstName: 255 - len(" Lee"), operation.FieldPhoneNumber: 255 - len("+1 "),
	} {
		c := func(n int) changes {
			out := changes{field: long(n), operation.FieldLastName: text("Lee"), operation.FieldPhoneCountryCode: text("+1")}
			if !out.Has(operation.FieldFirstName) {
				out[operation.FieldFirstName] = text("Ann")
			}
			if !out.Has(operation.FieldPhoneNumber) {
				out[operation.FieldPhoneNumber] = text("555")
			}
			return out
		}
		_, err := update(t, nil, c(most+1))
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorValidation, f.Type)
		require.Contains(t, f.Detail, string(field)+": ")
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, tsptest.File(t, "testdata/driver.json"))
		}))
		_, err = samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL}).UpdateUser(
			t.Context(), connection(nil), tsp.UserUpdate{SourceID: userID, Changes: c(most)})
		require.NoError(t, err, field)
		server.Close()
	}
}

// TestUpdateUser_Countries: the locales that the provider has, and the countries that the
// regions of a licence lie in.
func TestUpdateUser_Countries(t *testing.T) {
	t.Parallel()
	for country, locale := range map[string]string{
		"USA": "us", "AUT": "at", "BEL": "be", "CAN": "ca", "GBR": "gb", "FRA": "fr", "DEU": "de", "IRL": "ie",
		"ITA": "it", "LUX": "lu", "MEX": "mx", "NLD": "nl", "ESP": "es", "CHE": "ch", "PRI": "pr",
	} {
		s := settings{"write_locale": "true"}
		_, err := update(t, s, changes{operation.FieldCountryCode: text(strings.ToLower(country))}, patch(t, `{"locale":"`+locale+`"}`))
		require.NoError(t, err)
		read, _ := readAndList(t, s, `{"id":"1","locale":"`+locale+`"}`)
		require.Equal(t, text(country), read[operation.FieldCountryCode])
	}
	_, err := update(t, settings{"write_locale": "true"}, changes{operation.FieldCountryCode: text("SWE")})
	require.Contains(t, tsptest.Failure(t, err).Detail, "country_code: ")

	regions := map[string]string{"OH": "USA", "PR": "USA", "GU": "USA", "AK": "USA"}
	for _, province := range []string{"AB", "BC", "MB", "NB", "NL", "NS", "NT", "NU", "ON", "PE", "QC", "SK", "YT"} {
		regions[province] = "CAN"
	}
	for region, country := range regions {
		c := changes{operation.FieldLicenseRegion: text(region), operation.FieldLicenseCountry: text(strings.ToLower(country))}
		_, err := update(t, nil, c, patch(t, `{"licenseState":"`+region+`"}`))
		require.NoError(t, err)
		c[operation.FieldLicenseCountry] = text(map[string]string{"USA": "CAN", "CAN": "USA"}[country])
		_, err = update(t, nil, c)
		require.Contains(t, tsptest.Failure(t, err).Detail, "license_country: ", region)
	}
}

func TestUpdateUser_PhoneWithoutACodeWhereNoneIsStored(t *testing.T) {
	t.Parallel()
	for _, stored := range []string{`,"phone":"555 010 0199"`, `,"phone":"+15550100199"`, `,"phone":""`, ``} {
		held := get(t)
		held.Answer = `{"data":{"id":"494123"` + stored + `}}`
		_, err := update(t, nil, changes{operation.FieldPhoneNumber: text("5550100144")}, held, patch(t, `{"phone":"5550100144"}`))
		require.NoError(t, err)
	}
}

func TestUpdateUser_ErrorTextIsShownButNotWhatItRepeats(t *testing.T) {
	t.Parallel()
	phone := changes{operation.FieldPhoneNumber: text("5550100144"), operation.FieldPhoneCountryCode: text("+1")}
	refused := patch(t, `{"phone":"+1 5550100144"}`)
	refused.Status, refused.Answer = http.StatusBadRequest, tsptest.File(t, "testdata/error_400.json")
	_, err := update(t, nil, phone, refused)
	require.Equal(t, "samsara: patch driver: the provider answered 400: Invalid value for timezone. (request 8916e1c1)",
		tsptest.Failure(t, err).Detail)

	refused.Answer = `{"message":"bad phone 5550100144 for ` + token + `"}`
	_, err = update(t, nil, phone, refused)
	require.Equal(t, "samsara: patch driver: the provider answered 400: bad phone [hidden] for [hidden]",
		tsptest.Failure(t, err).Detail)

	both := patch(t, `{"username":"dana","email":"dana@example.com"}`)
	both.Status, both.Answer = http.StatusConflict, `{"message":"dana@example.com is taken"}`
	_, err = update(t, nil, changes{operation.FieldUsername: text("dana"), operation.FieldUserEmail: text("dana@example.com")}, both)
	require.Equal(t, "samsara: patch driver: the provider answered 409: [hidden] is taken", tsptest.Failure(t, err).Detail)
}

func TestUpdateUser_EmailThatIsNotTaken(t *testing.T) {
	t.Parallel()
	for answer, taken := range map[string]bool{
		`"email":"Ann@Example.com"`: true, `"email":"ann@example.com"`: true,
		`"email":"dana@example.com"`: false, `"email":""`: false, `"name":"Dana"`: false,
	} {
		write := patch(t, `{"email":"Ann@Example.com"}`)
		write.Answer = `{"data":{"id":"494123",` + answer + `}}`
		_, err := update(t, nil, changes{operation.FieldUserEmail: text("Ann@Example.com")}, write)
		if taken {
			require.NoError(t, err, answer)
			continue
		}
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorValidation, f.Type, answer)
		require.False(t, f.Retryable)
		require.Equal(t, http.StatusOK, f.StatusCode)
		require.Equal(t, "samsara: patch driver: the provider did not apply user_email", f.Detail)
	}
	_, err := update(t, nil, changes{operation.FieldUserEmail: null()}, patch(t, `{"email":""}`))
	require.NoError(t, err, "what is cleared may be absent")
}

func TestUpdateUser_SourceID(t *testing.T) {
	t.Parallel()
	send := func(t *testing.T, id string, exchanges ...tsptest.Exchange) error {
		server := tsptest.NewServer(t, exchanges...)
		p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
		_, err := p.UpdateUser(t.Context(), connection(nil), tsp.UserUpdate{SourceID: id, Changes: changes{operation.FieldNotes: text("n")}})
		return err
	}
	t.Run("escaped", func(t *testing.T) {
		t.Parallel()
		e := patch(t, `{"notes":"n"}`)
		e.Path, e.Answer = "/fleet/drivers/a%2F..%3Fb%20c", `{"data":{"id":"a/..?b c"}}`
		require.NoError(t, send(t, "a/..?b c", e))
	})
	t.Run("external id", func(t *testing.T) {
		t.Parallel()
		e := patch(t, `{"notes":"n"}`)
		e.Path = "/fleet/drivers/payrollId:ABFS18600"
		require.NoError(t, send(t, "payrollId:ABFS18600", e))
	})
	t.Run("external id of another driver", func(t *testing.T) {
		t.Parallel()
		e := patch(t, `{"notes":"n"}`)
		e.Path = "/fleet/drivers/payrollId:OTHER"
		require.Equal(t, operation.ErrorTSP, tsptest.Failure(t, send(t, "payrollId:OTHER", e)).Type)
	})
	for _, id := range []string{"", ".", ".."} {
		require.Equal(t, operation.ErrorValidation, tsptest.Failure(t, send(t, id)).Type)
	}
}

// badge names the driver of the fixture by an external id that is not its employee number.
const badge = "badge:B-7"

// updateBy is an update of the driver that a source id names, with employee numbers.
func updateBy(t *testing.T, sourceID string, number operation.Value, exchanges ...tsptest.Exchange) error {
	t.Helper()
	server := tsptest.NewServer(t, exchanges...)
	p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
	_, err := p.UpdateUser(t.Context(), connection(settings{"employee_external_id": "payrollId"}), tsp.UserUpdate{
		SourceID: sourceID, Changes: changes{operation.FieldEmployeeNumber: number},
	})
	return err
}

func TestUpdateUser_ExternalIDThatChanges(t *testing.T) {
	t.Parallel()
	for _, number := range []operation.Value{text("E1"), text(""), null()} {
		f := tsptest.Failure(t, updateBy(t, "payrollId:ABFS18600", number))
		require.Equal(t, operation.ErrorValidation, f.Type)
		require.False(t, f.Retryable)
		require.Contains(t, f.Detail, "employee_number: the user is named by this external id")
	}
	read, write := get(t), patch(t, `{"externalIds":{"payrollId":"ABFS18600","badge":"B-7"}}`)
	read.Path = "/fleet/drivers/payrollId:ABFS18600"
	require.NoError(t, updateBy(t, "payrollId:ABFS18600", text("ABFS18600"), read, write), "the number that it has")
}

func TestUpdateUser_WritesTheDriverThatWasRead(t *testing.T) {
	t.Parallel()
	read, write := get(t), patch(t, `{"externalIds":{"payrollId":"E1","badge":"B-7"}}`)
	read.Path = "/fleet/drivers/" + badge
	write.Answer = `{"data":{"id":"494123"}}`
	require.NoError(t, updateBy(t, badge, text("E1"), read, write))
}

func TestUpdateUser_NoTokenIsAnAuthFailure(t *testing.T) {
	t.Parallel()
	server := tsptest.NewServer(t)
	p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
	_, err := p.UpdateUser(t.Context(), tsp.Connection{}, tsp.UserUpdate{SourceID: userID, Changes: changes{operation.FieldNotes: text("n")}})
	require.Equal(t, operation.ErrorAuth, tsptest.Failure(t, err).Type)
}

func TestDescribe_TableHasEveryFieldOnce(t *testing.T) {
	t.Parallel()
	users := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{}).Describe().Users
	require.Len(t, users, len(operation.UserFields))
	for i, spec := range operation.UserFields {
		require.Equal(t, spec.Name, users[i].Field)
	}
}

func TestRulesets_FileIsWhole(t *testing.T) {
	t.Parallel()
	var file map[string]struct {
		Confidence string                     `json:"confidence"`
		Set        map[string]json.RawMessage `json:"set"`
	}
	require.NoError(t, json.Unmarshal([]byte(tsptest.File(t, "rulesets.json")), &file))
	require.Len(t, file, 54)
	for code, rule := range file {
		require.Contains(t, operation.RulesetCodes, code)
		require.Contains(t, []string{"strong", "weak"}, rule.Confidence, code)
		var override map[string]string
		require.NoError(t, json.Unmarshal(rule.Set["usDriverRulesetOverride"], &override), code)
		require.Len(t, override, 4, code)
		for _, member := range []string{"cycle", "restart", "restbreak", "usStateToOverride"} {
			require.Contains(t, override, member, code)
		}
	}
}

// hosts notes where calls go and answers none.
type hosts struct{ seen []string }

func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	h.seen = append(h.seen, r.URL.Scheme+"://"+r.URL.Host)
	return nil, errors.New("not answered")
}

func TestRegion_HasItsHost(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{
		"": samsara.DefaultBaseURL, "us": samsara.DefaultBaseURL, "eu": samsara.EuropeBaseURL, "EU ": samsara.EuropeBaseURL,
		"ca": samsara.CanadaBaseURL,
	} {
		seen := &hosts{}
		conn := tsp.Connection{
			Credentials: tsp.Credentials{"access_token": "a", "refresh_token": "r", "client_id": "c", "client_secret": "s"},
			Settings:    settings{"region": region},
		}
		call := httpcall.New(httpcall.Config{Transport: seen})
		p := samsara.New(call, samsara.Config{})
		_, err := p.ReadUser(t.Context(), conn, "1")
		require.Error(t, err)
		_, err = p.Refresh(t.Context(), conn)
		require.Error(t, err)
		require.Equal(t, []string{want, want}, seen.seen, "tokens come from the region too")
		p = samsara.New(call, samsara.Config{BaseURL: "https://sandbox.example"})
		_, err = p.ReadUser(t.Context(), conn, "1")
		require.Error(t, err)
		require.Equal(t, "https://sandbox.example", seen.seen[2], "a sandbox is for every region")
	}
}

// A token must not go to another region than its own.
func TestRegion_ThatIsNotKnownIsNotCalled(t *testing.T) {
	t.Parallel()
	seen := &hosts{}
	p := samsara.New(httpcall.New(httpcall.Config{Transport: seen}), samsara.Config{})
	conn := tsp.Connection{
		Credentials: tsp.Credentials{"access_token": "a", "refresh_token": "r", "client_id": "c", "client_secret": "s"},
		Settings:    settings{"region": "europe"},
	}
	_, readErr := p.ReadUser(t.Context(), conn, "1")
	_, listErr := p.ListUsers(t.Context(), conn, "")
	_, updateErr := p.UpdateUser(t.Context(), conn, tsp.UserUpdate{SourceID: "1", Changes: person})
	_, createErr := p.CreateUser(t.Context(), conn, tsp.UserCreate{Changes: person})
	_, refreshErr := p.Refresh(t.Context(), conn)
	for _, err := range []error{readErr, listErr, updateErr, createErr, refreshErr} {
		require.Contains(t, tsptest.Failure(t, err).Detail, "setting region must be us, eu or ca")
	}
	require.Empty(t, seen.seen)
}
