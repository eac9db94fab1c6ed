package geotab_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/geotab"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
)

const (
	userID   = "b5CE1"
	session  = "planted-session"
	password = "planted-password"
	login    = "svc@example.com"
	nowText  = "2026-07-20T12:00:00.000Z"
)

func clock() time.Time { return time.Date(2026, 7, 20, 14, 0, 0, 0, time.FixedZone("", 7200)) }

type (
	changes  = operation.Changes
	settings = map[string]string
)

var (
	text = operation.Text
	flag = operation.Flag
	null = operation.Null
)

func credentials() tsp.Credentials {
	return tsp.Credentials{"username": login, "password": password, "database": "acme", "session_id": session}
}

const inBody = `"credentials":{"database":"acme","userName":"` + login + `","sessionId":"` + session + `"}`

func call(body, answer string) tsptest.Exchange {
	return tsptest.Exchange{
		Method: http.MethodPost, Path: "/apiv1", Body: body, Answer: answer,
		Header: map[string]string{"Content-Type": "application/json", "Authorization": ""},
	}
}

func getting(answer string) tsptest.Exchange {
	return call(`{"method":"Get","params":{"typeName":"User","search":{"id":"b5CE1"},`+inBody+`}}`, answer)
}

// setting expects the user of the answer with the keys of the patch.
func setting(t *testing.T, read, patch string) tsptest.Exchange {
	t.Helper()
	var answer struct {
		Result []map[string]json.RawMessage `json:"result"`
	}
	require.NoError(t, json.Unmarshal([]byte(read), &answer))
	var keys map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(patch), &keys))
	maps.Copy(answer.Result[0], keys)
	entity, err := json.Marshal(answer.Result[0])
	require.NoError(t, err)
	return call(`{"method":"Set","params":{"typeName":"User","entity":`+string(entity)+`,`+inBody+`}}`,
		tsptest.File(t, "testdata/set.json"))
}

func adding(t *testing.T, ruleset string) tsptest.Exchange {
	t.Helper()
	return call(`{"method":"Add","params":{"typeName":"UserHosRuleSet","entity":{"dateTime":"`+nowText+
		`","user":{"id":"b5CE1"},"hosRuleSet":{"id":"`+ruleset+`"}},`+inBody+`}}`, tsptest.File(t, "testdata/add.json"))
}

func update(t *testing.T, s settings, c changes, exchanges ...tsptest.Exchange) (tsp.Result, error) {
	t.Helper()
	server := tsptest.NewServer(t, exchanges...)
	p := geotab.New(httpcall.New(httpcall.Config{}), geotab.Config{BaseURL: server.URL, Now: clock})
	return p.UpdateUser(t.Context(), tsp.Connection{Credentials: credentials(), Settings: s},
		tsp.UserUpdate{SourceID: userID, Changes: c})
}

func refusal(t *testing.T, err error) *operation.Failure {
	t.Helper()
	f := tsptest.Failure(t, err)
	require.Equal(t, operation.ErrorValidation, f.Type)
	require.False(t, f.Retryable)
	return f
}

// plainDriver is the driver without the keys that a float cannot hold, which the
// strict server would not compare exactly.
func plainDriver(t *testing.T) string {
	s := tsptest.File(t, "testdata/driver.json")
	return strings.NewReplacer("1e400", "1", "9007199254740993123456789", "7").Replace(s)
}

// fieldCase is one field alone: its value, and the keys of the user that change.
// No keys: nothing is set. Refused fields make no call, or one Get.
type fieldCase struct {
	field   operation.Field
	value   operation.Value
	patch   string
	ruleset string
	refused bool
	reads   bool
}

var fieldCases = []fieldCase{
	{field: operation.FieldUsername, value: text("dana.w"), patch: `{"name":"dana.w"}`},
	{field: operation.FieldUsername, value: text("dana w"), refused: true},
	{field: operation.FieldUsername, value: text(strings.Repeat("d", 256)), refused: true},
	{field: operation.FieldUsername, value: null(), refused: true},
	{field: operation.FieldIsActive, value: flag(true)},
	{field: operation.FieldIsActive, value: flag(false), patch: `{"activeTo":"` + nowText + `"}`},
	{field: operation.FieldIsActive, value: null(), refused: true},
	{field: operation.FieldStatus, value: text("ACTIVE")},
	{field: operation.FieldStatus, value: text("INACTIVE"), patch: `{"activeTo":"` + nowText + `"}`},
	{field: operation.FieldStatus, value: null(), refused: true},
	{field: operation.FieldIsDriver, value: flag(true)},
	{field: operation.FieldIsDriver, value: flag(false), refused: true, reads: true},
	{field: operation.FieldIsDriver, value: null(), refused: true},
	{field: operation.FieldUserDesignation, value: text("Local"), patch: `{"designation":"Local"}`},
	{field: operation.FieldUserDesignation, value: text(strings.Repeat("é", 50)), patch: `{"designation":"` + strings.Repeat("é", 50) + `"}`},
	{field: operation.FieldUserDesignation, value: text(strings.Repeat("e", 51)), refused: true},
	{field: operation.FieldUserDesignation, value: null(), patch: `{"designation":""}`},
	{field: operation.FieldUserEmail, value: text("ann@example.com"), patch: `{"name":"ann@example.com"}`},
	{field: operation.FieldUserEmail, value: text("ann"), refused: true},
	{field: operation.FieldUserEmail, value: null(), refused: true},
	{field: operation.FieldFirstName, value: text("Ann"), patch: `{"firstName":"Ann"}`},
	{field: operation.FieldFirstName, value: text(strings.Repeat("n", 256)), refused: true},
	{field: operation.FieldFirstName, value: null(), refused: true},
	{field: operation.FieldLastName, value: text("Lee"), patch: `{"lastName":"Lee"}`},
	{field: operation.FieldLastName, value: null(), refused: true},
	{field: operation.FieldPhoneNumber, value: text("(555) 010-0144"), patch: `{"phoneNumber":"+1 5550100144"}`},
	{field: operation.FieldPhoneNumber, value: text("1 555 010 0144"), patch: `{"phoneNumber":"+1 5550100144"}`},
	{field: operation.FieldPhoneNumber, value: text("+49301234567"), patch: `{"phoneNumber":"+49 301234567"}`},
	{field: operation.FieldPhoneNumber, value: text("+49 (0)30 1234567"), patch: `{"phoneNumber":"+49 301234567"}`},
	{field: operation.FieldPhoneNumber, value: text("+353 1 234 5678"), patch: `{"phoneNumber":"+353 12345678"}`},
	{field: operation.FieldPhoneNumber, value: text("+1 555 010 0144 5555 6666"), refused: true, reads: true},
	{field: operation.FieldPhoneNumber, value: text("call me"), refused: true},
	{field: operation.FieldPhoneNumber, value: null(), patch: `{"phoneNumber":""}`},
	{field: operation.FieldCountryCode, value: text("can"), patch: `{"countryCode":"ca"}`},
	{field: operation.FieldCountryCode, value: text("ZZZ"), refused: true},
	{field: operation.FieldCountryCode, value: text("ZAR"), refused: true}, // withdrawn: now COD
	{field: operation.FieldCountryCode, value: text("COD"), patch: `{"countryCode":"cd"}`},
	{field: operation.FieldCountryCode, value: text("840"), refused: true},
	{field: operation.FieldCountryCode, value: null(), patch: `{"countryCode":""}`},
	{field: operation.FieldLicenseCountry, value: text("USA"), refused: true},
	{field: operation.FieldLicenseCountry, value: null(), refused: true},
	{field: operation.FieldLicenseRegion, value: text("PA"), patch: `{"licenseProvince":"PA"}`},
	{field: operation.FieldLicenseRegion, value: text("US-OH"), patch: `{"licenseProvince":"OH"}`},
	{field: operation.FieldLicenseRegion, value: text("ca-on"), patch: `{"licenseProvince":"ON"}`},
	{field: operation.FieldLicenseRegion, value: text("MX-CMX"), patch: `{"licenseProvince":"MX-CMX"}`},
	{field: operation.FieldLicenseRegion, value: text("US-Ohio"), patch: `{"licenseProvince":"US-Ohio"}`},
	{field: operation.FieldLicenseRegion, value: null(), patch: `{"licenseProvince":""}`},
	{field: operation.FieldLicenseNumber, value: text("X99"), patch: `{"licenseNumber":"X99"}`},
	{field: operation.FieldLicenseNumber, value: null(), patch: `{"licenseNumber":""}`},
	{field: operation.FieldLicenseExpiration, value: text("2031-05-31"), refused: true},
	{field: operation.FieldLicenseExpiration, value: null(), refused: true},
	{field: operation.FieldEmployeeNumber, value: text("77"), patch: `{"employeeNo":"77"}`},
	{field: operation.FieldEmployeeNumber, value: text(strings.Repeat("7", 51)), refused: true},
	{field: operation.FieldEmployeeNumber, value: null(), patch: `{"employeeNo":""}`},
	{field: operation.FieldCarrierNumber, value: text("11"), patch: `{"carrierNumber":"11"}`},
	{field: operation.FieldCarrierNumber, value: null(), patch: `{"carrierNumber":""}`},
	{field: operation.FieldNotes, value: text("a & b"), patch: `{"comment":"a & b"}`},
	{field: operation.FieldNotes, value: null(), patch: `{"comment":""}`},
	{field: operation.FieldHOSRulesetCode, value: text("US_INT_PROP_60_7"), ruleset: "HosRuleSetAmerica7Day"},
	{field: operation.FieldHOSRulesetCode, value: text("US_INT_NOHOS_7"), ruleset: "HosRuleSetNone"},
	{field: operation.FieldHOSRulesetCode, value: text("US_INT_PROP_70_8")},
	{field: operation.FieldHOSRulesetCode, value: text("US_INT_RAIL_EX"), refused: true},
	{field: operation.FieldHOSRulesetCode, value: text("US_CA_INTRA_PROP_80_8"), refused: true},
	{field: operation.FieldHOSRulesetCode, value: null(), refused: true},
	{field: operation.FieldAllowYardMove, value: flag(false), patch: `{"isYardMoveEnabled":false}`},
	{field: operation.FieldAllowYardMove, value: null(), patch: `{"isYardMoveEnabled":false}`},
	{field: operation.FieldAllowPersonalConveyance, value: flag(false), patch: `{"isPersonalConveyanceEnabled":false}`},
	{field: operation.FieldAllowPersonalConveyance, value: null(), patch: `{"isPersonalConveyanceEnabled":false}`},
	{field: operation.FieldAllowAdverseDriving, value: flag(false), patch: `{"isAdverseDrivingEnabled":false}`},
	{field: operation.FieldAllowAdverseDriving, value: null(), patch: `{"isAdverseDrivingEnabled":false}`},
	{field: operation.FieldDefaultTimeZone, value: text("America/Boise"), patch: `{"timeZoneId":"America/Boise"}`},
	{field: operation.FieldDefaultTimeZone, value: null(), refused: true},
	{field: operation.FieldDOTID, value: text("77123"), patch: `{"carrierNumber":"77123"}`},
	{field: operation.FieldDOTID, value: null(), patch: `{"carrierNumber":""}`},
	{field: operation.FieldPhoneCountryCode, value: text("+52"), patch: `{"phoneNumber":"+52 5550100199"}`},
	{field: operation.FieldPhoneCountryCode, value: text("52"), refused: true},
	{field: operation.FieldPhoneCountryCode, value: null(), refused: true},
	{field: operation.FieldHOSComplianceType, value: text("exempt"), patch: `{"isExemptHOSEnabled":true}`},
	{field: operation.FieldHOSComplianceType, value: text("non_exempt"), patch: `{"isExemptHOSEnabled":false}`},
	{field: operation.FieldHOSComplianceType, value: null(), patch: `{"isExemptHOSEnabled":false}`},
	{field: operation.FieldHOSTrackingMethod, value: text("automatic")},
	{field: operation.FieldHOSTrackingMethod, value: text("manual"), refused: true},
	{field: operation.FieldHOSTrackingMethod, value: null(), refused: true},
}

func TestUpdate_EachFieldAlone(t *testing.T) {
	t.Parallel()
	covered := map[operation.Field]bool{}
	for _, c := range fieldCases {
		covered[c.field] = true
		t.Run(string(c.field)+"/"+c.value.Text(), func(t *testing.T) {
			t.Parallel()
			var exchanges []tsptest.Exchange
			if !c.refused || c.reads {
				exchanges = append(exchanges, getting(plainDriver(t)))
			}
			if c.patch != "" {
				exchanges = append(exchanges, setting(t, plainDriver(t), c.patch))
			}
			if c.ruleset != "" {
				exchanges = append(exchanges, adding(t, c.ruleset))
			}
			result, err := update(t, nil, changes{c.field: c.value}, exchanges...)
			if c.refused {
				require.Contains(t, refusal(t, err).Detail, string(c.field)+": ")
				return
			}
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, result.StatusCode)
		})
	}
	for _, spec := range operation.UserFields {
		require.True(t, covered[spec.Name], spec.Name)
	}
}

// reading gives a Get answer of a user with these keys.
func reading(keys string) string { return `{"result":[{"id":"b5CE1",` + keys + `}]}` }

func TestUpdate_Combinations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings settings
		read     string // empty: no call
		changes  changes
		patch    string
		ruleset  string
		refused  []string
	}{
		"plain user becomes a driver with a licence": {
			read:    reading(`"isDriver":false,"companyGroups":[{"id":"g1"}]`),
			changes: changes{operation.FieldIsDriver: flag(true), operation.FieldLicenseNumber: text("X9")},
			patch:   `{"isDriver":true,"driverGroups":[{"id":"g1"}],"keys":[],"licenseNumber":"X9"}`,
		},
		"driver without company groups": {
			read: reading(`"isDriver":false`), changes: changes{operation.FieldIsDriver: flag(true)}, refused: []string{"is_driver: "},
		},
		"office user stays one": {read: reading(`"isDriver":false`), changes: changes{operation.FieldIsDriver: flag(false)}},
		"licence of an office user, with everything else refused": {
			read: reading(`"isDriver":false,"name":"dana"`), changes: changes{
				operation.FieldLicenseNumber: text("X9"), operation.FieldLicenseRegion: text("OH"), operation.FieldNotes: text("n"),
				operation.FieldUserEmail: text("ann@example.com"), operation.FieldLicenseExpiration: text("2031-05-31"),
			},
			refused: []string{"license_number: ", "license_region: ", "user_email: ", "license_expiration: "},
		},
		"licence of an office user is cleared": {
			read: reading(`"isDriver":false`), changes: changes{operation.FieldLicenseNumber: null()},
		},
		"e-mail equals login": {
			read: reading(`"name":"dana"`), patch: `{"name":"ann@example.com"}`,
			changes: changes{operation.FieldUserEmail: text("Ann@example.com"), operation.FieldUsername: text("ann@example.com")},
		},
		"e-mail is not the login": {
			changes: changes{operation.FieldUserEmail: text("ann@example.com"), operation.FieldUsername: text("ann")},
			refused: []string{"user_email: "},
		},
		"status disagrees": {
			changes: changes{operation.FieldIsActive: flag(true), operation.FieldStatus: text("INACTIVE")}, refused: []string{"status: "},
		},
		"ended user is activated": {
			read: reading(`"activeTo":"2026-07-20T12:00:00.000Z"`), changes: changes{operation.FieldStatus: text("ACTIVE")},
			patch: `{"activeTo":"2050-01-01T00:00:00.000Z"}`,
		},
		"future user is activated": {
			read: reading(`"activeFrom":"2026-08-20T12:00:00.000Z"`), changes: changes{operation.FieldIsActive: flag(true)},
			patch: `{"activeFrom":"` + nowText + `","activeTo":"2050-01-01T00:00:00.000Z"}`,
		},
		"future user is deactivated": {
			read: reading(`"activeFrom":"2026-08-20T12:00:00.000Z"`), changes: changes{operation.FieldIsActive: flag(false)},
			patch: `{"activeFrom":"` + nowText + `","activeTo":"` + nowText + `"}`,
		},
		"ended user stays ended": {
			read: reading(`"activeTo":"2026-01-20T12:00:00.000Z"`), changes: changes{operation.FieldIsActive: flag(false)},
		},
		"user without dates is active": {read: reading(`"name":"d"`), changes: changes{operation.FieldIsActive: flag(true)}},
		"phone with its code": {
			read: reading(`"phoneNumber":""`), patch: `{"phoneNumber":"+353 12345678"}`,
			changes: changes{operation.FieldPhoneNumber: text("+353 1 2345678"), operation.FieldPhoneCountryCode: text("+353")},
		},
		"phone and code": {
			read: reading(`"phoneNumber":""`), patch: `{"phoneNumber":"+52 5550100144"}`,
			changes: changes{operation.FieldPhoneNumber: text("555-010-0144"), operation.FieldPhoneCountryCode: text("+52")},
		},
		"phone with a trunk prefix": {
			read: reading(`"phoneNumber":""`), patch: `{"phoneNumber":"+49 30123456"}`,
			changes: changes{operation.FieldPhoneNumber: text("030 123456"), operation.FieldPhoneCountryCode: text("+49")},
		},
		"phone with another code": {
			changes: changes{operation.FieldPhoneNumber: text("+1 5550100144"), operation.FieldPhoneCountryCode: text("+52")},
			refused: []string{"phone_number: "},
		},
		"phone without any code": {
			read: reading(`"phoneNumber":""`), changes: changes{operation.FieldPhoneNumber: text("5550100144")}, refused: []string{"phone_number: "},
		},
		"code without any phone": {
			read: reading(`"name":"d"`), changes: changes{operation.FieldPhoneCountryCode: text("+52")}, refused: []string{"phone_country_code: "},
		},
		"phone and code cleared": {
			read: reading(`"phoneNumber":"+1 5"`), patch: `{"phoneNumber":""}`,
			changes: changes{operation.FieldPhoneNumber: null(), operation.FieldPhoneCountryCode: null()},
		},
		"phone cleared, code given": {
			changes: changes{operation.FieldPhoneNumber: null(), operation.FieldPhoneCountryCode: text("+1")},
			refused: []string{"phone_country_code: "},
		},
		"one carrier number": {
			read: reading(`"name":"d"`), patch: `{"carrierNumber":"7"}`,
			changes: changes{operation.FieldCarrierNumber: text("7"), operation.FieldDOTID: text("7")},
		},
		"two carrier numbers": {
			changes: changes{operation.FieldCarrierNumber: text("7"), operation.FieldDOTID: null()}, refused: []string{"dot_id: "},
		},
		"weak ruleset by setting": {
			settings: settings{"weak_rulesets": "true"}, read: reading(`"name":"d"`), ruleset: "HosRuleSetCaliforniaProperty",
			changes: changes{operation.FieldHOSRulesetCode: text("US_CA_INTRA_PROP_80_8")},
		},
		"fields and ruleset": {
			read: reading(`"hosRuleSet":"None","x":1`), patch: `{"firstName":"Ann"}`, ruleset: "HosRuleSetOregon7day",
			changes: changes{operation.FieldFirstName: text("Ann"), operation.FieldHOSRulesetCode: text("US_OR_INTRA_PROP_70_7")},
		},
		"a password never goes back": {
			read: reading(`"password":"masked"`), changes: changes{operation.FieldFirstName: text("Ann")}, patch: `{"firstName":"Ann"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var exchanges []tsptest.Exchange
			if c.read != "" {
				exchanges = append(exchanges, getting(c.read))
			}
			if c.patch != "" {
				kept := strings.Replace(c.read, `"password":"masked"`, `"firstName":"Dana"`, 1)
				exchanges = append(exchanges, setting(t, kept, c.patch))
			}
			if c.ruleset != "" {
				exchanges = append(exchanges, adding(t, c.ruleset))
			}
			_, err := update(t, c.settings, c.changes, exchanges...)
			if len(c.refused) == 0 {
				require.NoError(t, err)
				return
			}
			for _, part := range c.refused {
				require.Contains(t, refusal(t, err).Detail, part)
			}
		})
	}
}
