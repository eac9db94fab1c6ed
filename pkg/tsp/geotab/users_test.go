package geotab_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/geotab"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/tsptest"
)

func provider(t *testing.T, exchanges ...tsptest.Exchange) *geotab.Provider {
	t.Helper()
	return geotab.New(httpcall.New(httpcall.Config{}), geotab.Config{BaseURL: tsptest.NewServer(t, exchanges...).URL, Now: clock})
}

func connection(s settings) tsp.Connection {
	return tsp.Connection{Credentials: credentials(), Settings: s}
}

// withLogin are changes with the three fields that a create needs.
func withLogin(c changes) changes {
	out := changes{
		operation.FieldUsername: text("newdriver"), operation.FieldFirstName: text("New"), operation.FieldLastName: text("Driver"),
	}
	maps.Copy(out, c)
	return out
}

// draft is a dry run of a create: the entities of its writes.
func draft(t *testing.T, s settings, c changes, exchanges ...tsptest.Exchange) ([]map[string]any, *httpcall.Draft, error) {
	t.Helper()
	d := &httpcall.Draft{Hidden: []string{session, password}}
	_, err := provider(t, exchanges...).CreateUser(httpcall.WithDraft(t.Context(), d), connection(s), tsp.UserCreate{Changes: c})
	entities := make([]map[string]any, len(d.Calls))
	for i, call := range d.Calls {
		var r rpc
		require.NoError(t, json.Unmarshal([]byte(call.Body), &r), call.Body)
		require.Equal(t, "Add", r.Method)
		entities[i] = r.Params.Entity
	}
	return entities, d, err
}

func TestCreate_Entities(t *testing.T) {
	t.Parallel()
	refs := func(id string) []any { return []any{map[string]any{"id": id}} }
	driver := map[string]any{
		"name": "newdriver", "firstName": "New", "lastName": "Driver", "password": "*****", "isDriver": true,
		"companyGroups": refs("GroupCompanyId"), "driverGroups": refs("GroupCompanyId"), "keys": []any{},
		"securityGroups": refs("GroupDriveUserSecurityId"), "viewDriversOwnDataOnly": true,
		"userAuthenticationType": "BasicAuthentication", "changePassword": true, "sendWelcomeEmail": false,
		"activeFrom": nowText, "activeTo": "2050-01-01T00:00:00.000Z",
	}
	with := func(keys map[string]any, without ...string) map[string]any {
		out := maps.Clone(driver)
		maps.Copy(out, keys)
		for _, key := range without {
			delete(out, key)
		}
		return out
	}
	for name, c := range map[string]struct {
		settings settings
		changes  changes
		want     map[string]any // nil: refused
		ruleset  string
		refused  []string
	}{
		"driver by default": {want: driver},
		"nulls say nothing": {
			changes: changes{
				operation.FieldNotes: null(), operation.FieldLicenseExpiration: null(), operation.FieldIsDriver: null(),
				operation.FieldPhoneNumber: null(), operation.FieldHOSRulesetCode: null(), operation.FieldStatus: null(),
			},
			want: driver,
		},
		"e-mail as login": {
			changes: changes{operation.FieldUsername: null(), operation.FieldUserEmail: text("new@example.com")},
			want:    with(map[string]any{"name": "new@example.com"}),
		},
		"whole driver": {
			changes: changes{
				operation.FieldUsername: text("new@example.com"), operation.FieldUserEmail: text("new@example.com"),
				operation.FieldPhoneNumber: text("555-010-0144"), operation.FieldPhoneCountryCode: text("+1"),
				operation.FieldCountryCode: text("USA"), operation.FieldLicenseNumber: text("X9"), operation.FieldLicenseRegion: text("TX"),
				operation.FieldEmployeeNumber: text("77"), operation.FieldCarrierNumber: text("98231"), operation.FieldNotes: text("n"),
				operation.FieldUserDesignation: text("Local"), operation.FieldDefaultTimeZone: text("America/Chicago"),
				operation.FieldAllowYardMove: flag(true), operation.FieldHOSComplianceType: text("exempt"),
				operation.FieldHOSTrackingMethod: text("automatic"), operation.FieldHOSRulesetCode: text("US_TX_INTRA_PROP_70_7"),
				operation.FieldIsActive: flag(false),
			},
			want: with(map[string]any{
				"name": "new@example.com", "phoneNumber": "+1 5550100144", "countryCode": "us", "licenseNumber": "X9", "licenseProvince": "TX",
				"employeeNo": "77", "carrierNumber": "98231", "comment": "n", "designation": "Local", "timeZoneId": "America/Chicago",
				"isYardMoveEnabled": true, "isExemptHOSEnabled": true, "activeTo": nowText,
			}),
			ruleset: "HosRuleSetAmericaTexas",
		},
		"no hours of service": {changes: changes{operation.FieldHOSRulesetCode: text("US_INT_NOHOS_7")}, want: driver, ruleset: "HosRuleSetNone"},
		"office user": {
			changes: changes{operation.FieldIsDriver: flag(false)},
			want: with(map[string]any{"isDriver": false, "securityGroups": refs("GroupNothingSecurityId")},
				"driverGroups", "keys", "viewDriversOwnDataOnly"),
		},
		"group by setting": {
			settings: settings{"company_group": "b2713"},
			want:     with(map[string]any{"companyGroups": refs("b2713"), "driverGroups": refs("b2713")}),
		},
		"office user with a licence": {
			changes: changes{operation.FieldIsDriver: flag(false), operation.FieldLicenseNumber: text("X9")}, refused: []string{"license_number: "},
		},
		"phone without a code": {changes: changes{operation.FieldPhoneNumber: text("5550100144")}, refused: []string{"phone_number: "}},
		"code without a phone": {changes: changes{operation.FieldPhoneCountryCode: text("+1")}, refused: []string{"phone_country_code: "}},
		"another e-mail":       {changes: changes{operation.FieldUserEmail: text("new@example.com")}, refused: []string{"user_email: "}},
		"no e-mail":            {changes: changes{operation.FieldUsername: null(), operation.FieldUserEmail: text("new")}, refused: []string{"user_email: "}},
		"nobody": {
			changes: changes{operation.FieldUsername: null(), operation.FieldFirstName: text(""), operation.FieldLastName: null(), operation.FieldLicenseExpiration: text("2031-05-31")},
			refused: []string{"username: ", "first_name: ", "last_name: ", "license_expiration: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entities, d, err := draft(t, c.settings, withLogin(c.changes))
			if c.want == nil {
				for _, part := range c.refused {
					require.Contains(t, refusal(t, err).Detail, part)
				}
				require.Empty(t, entities)
				return
			}
			require.ErrorIs(t, err, httpcall.ErrDraft)
			want := []map[string]any{c.want}
			if c.ruleset != "" {
				want = append(want, map[string]any{
					"dateTime": nowText, "user": map[string]any{"id": "*****"}, "hosRuleSet": map[string]any{"id": c.ruleset},
				})
			}
			require.Equal(t, want, entities)
			require.NotContains(t, d.Calls[0].Body, session)
		})
	}
}

func finding(answer string) tsptest.Exchange {
	return call(`{"method":"Get","params":{"typeName":"User","search":{"name":"newdriver"},`+inBody+`}}`, answer)
}

func rulesetFor(t *testing.T, answer string) tsptest.Exchange {
	t.Helper()
	e := adding(t, "HosRuleSetAmerica7Day")
	e.Body = strings.Replace(e.Body, userID, newID, 1)
	if answer != "" {
		e.Answer = answer
	}
	return e
}

func TestCreate_Repeat(t *testing.T) {
	t.Parallel()
	made := func(keys string) string {
		return `{"result":[{"id":"b9","name":"newdriver2"},{"id":"` + newID + `","name":"NewDriver","firstName":"New","lastName":"Driver",` + keys + `}]}`
	}
	c := withLogin(changes{
		operation.FieldHOSRulesetCode: text("US_INT_PROP_60_7"), operation.FieldAllowYardMove: flag(false), operation.FieldNotes: text("n"),
		operation.FieldIsActive: flag(true),
	})
	for name, tt := range map[string]struct {
		calls  []tsptest.Exchange
		detail string // empty: success
	}{
		"made with its ruleset": {calls: []tsptest.Exchange{finding(made(`"isDriver":true,"comment":"n","hosRuleSet":"America7Day"`))}},
		"made without its ruleset": {calls: []tsptest.Exchange{
			finding(made(`"isDriver":true,"comment":"n","hosRuleSet":"None"`)), rulesetFor(t, ""),
		}},
		"somebody else": {
			calls:  []tsptest.Exchange{finding(made(`"isDriver":false,"comment":"m","isYardMoveEnabled":true`))},
			detail: "geotab: add user: the provider has a user with this login, with another is_driver, notes, allow_yard_move",
		},
		"ruleset refused": {
			calls: []tsptest.Exchange{
				finding(made(`"isDriver":true,"comment":"n"`)), rulesetFor(t, failing(t, "ArgumentException", "no")),
			},
			detail: "partly written: the user was created with the id b1A2, hos_ruleset_code is not confirmed: geotab: add ruleset: ArgumentException: no",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			created, err := provider(t, tt.calls...).CreateUser(t.Context(), connection(nil), tsp.UserCreate{Changes: c, Repeat: true})
			if tt.detail != "" {
				f := refusal(t, err)
				require.Equal(t, tt.detail, f.Detail)
				require.Equal(t, http.StatusOK, f.StatusCode)
				return
			}
			require.NoError(t, err)
			require.Equal(t, newID, created.SourceID)
			require.Equal(t, http.StatusOK, created.StatusCode)
		})
	}
}

func TestUpdate_DryRunShowsBothWrites(t *testing.T) {
	t.Parallel()
	d := &httpcall.Draft{Hidden: []string{session}}
	read := reading(`"hosRuleSet":"None","firstName":"Dana"`)
	_, err := provider(t, getting(read)).UpdateUser(httpcall.WithDraft(t.Context(), d), connection(nil), tsp.UserUpdate{
		SourceID: userID,
		Changes:  changes{operation.FieldFirstName: text("Ann"), operation.FieldHOSRulesetCode: text("US_INT_PROP_60_7")},
	})
	require.ErrorIs(t, err, httpcall.ErrDraft)
	shown := `"credentials":{"database":"acme","userName":"` + login + `","sessionId":"*****"}`
	require.Len(t, d.Calls, 2)
	require.JSONEq(t, `{"method":"Set","params":{"typeName":"User","entity":{"id":"b5CE1","hosRuleSet":"None","firstName":"Ann"},`+shown+`}}`, d.Calls[0].Body)
	require.JSONEq(t, `{"method":"Add","params":{"typeName":"UserHosRuleSet","entity":{"dateTime":"`+nowText+
		`","user":{"id":"b5CE1"},"hosRuleSet":{"id":"HosRuleSetAmerica7Day"}},`+shown+`}}`, d.Calls[1].Body)

	for name, c := range map[string]struct {
		changes changes
		writes  int
	}{
		"ruleset alone":    {changes{operation.FieldHOSRulesetCode: text("US_INT_PROP_60_7")}, 1},
		"nothing to write": {changes{operation.FieldHOSRulesetCode: text("US_INT_NOHOS_7"), operation.FieldIsActive: flag(true)}, 0},
	} {
		d := &httpcall.Draft{}
		_, err := provider(t, getting(read)).UpdateUser(httpcall.WithDraft(t.Context(), d), connection(nil),
			tsp.UserUpdate{SourceID: userID, Changes: c.changes})
		require.Len(t, d.Calls, c.writes, name)
		if c.writes == 0 {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, httpcall.ErrDraft, name)
		}
	}
}

func listing(offset, answer string) tsptest.Exchange {
	sort := `"sortBy":"id","sortDirection":"asc"`
	if offset != "" {
		sort += `,"offset":"` + offset + `"`
	}
	return call(`{"method":"Get","params":{"typeName":"User","resultsLimit":100,"sort":{`+sort+`},`+inBody+`}}`, answer)
}

func TestListUsers(t *testing.T) {
	t.Parallel()
	p := provider(t, listing("", tsptest.File(t, "testdata/users_1.json")), listing("b2", tsptest.File(t, "testdata/users_2.json")),
		listing("b3", tsptest.File(t, "testdata/users_none.json")))
	first, err := p.ListUsers(t.Context(), connection(nil), "")
	require.NoError(t, err)
	require.Equal(t, "b2", first.Next)
	require.Equal(t, changes{
		operation.FieldUsername: text("dana@example.com"), operation.FieldUserEmail: text("dana@example.com"),
		operation.FieldFirstName: text("Dana"), operation.FieldLastName: text("Whitfield"), operation.FieldIsDriver: flag(true),
		operation.FieldIsActive: flag(true), operation.FieldStatus: text("ACTIVE"), operation.FieldEmployeeNumber: text("10442"),
		operation.FieldUserDesignation: text("Line haul"), operation.FieldNotes: text("night shift"),
		operation.FieldPhoneNumber: text("5550100199"), operation.FieldPhoneCountryCode: text("+1"), operation.FieldCountryCode: text("USA"),
		operation.FieldLicenseNumber: text("W1234567"), operation.FieldLicenseRegion: text("OH"),
		operation.FieldCarrierNumber: text("98231"), operation.FieldDOTID: text("98231"),
		operation.FieldHOSRulesetCode: text("US_INT_PROP_70_8"), operation.FieldDefaultTimeZone: text("America/New_York"),
		operation.FieldAllowYardMove: flag(true), operation.FieldAllowPersonalConveyance: flag(false),
		operation.FieldAllowAdverseDriving: flag(true), operation.FieldHOSComplianceType: text(operation.NonExempt),
	}, first.Users[0].Fields)
	require.Equal(t, changes{
		operation.FieldUsername: text("clerk"), operation.FieldFirstName: text("Marcus"), operation.FieldLastName: text("Okafor"),
		operation.FieldIsDriver: flag(false), operation.FieldIsActive: flag(false), operation.FieldStatus: text("INACTIVE"),
		operation.FieldEmployeeNumber: null(), operation.FieldUserDesignation: null(), operation.FieldNotes: null(),
		operation.FieldCarrierNumber: null(), operation.FieldDOTID: null(),
		operation.FieldPhoneNumber: text("(1) 234-5678"), operation.FieldPhoneCountryCode: text("+353"),
		operation.FieldDefaultTimeZone: null(), operation.FieldHOSRulesetCode: null(),
		operation.FieldLicenseRegion: null(), operation.FieldLicenseNumber: null(),
	}, first.Users[1].Fields, "what has no counterpart is left out, or known no more")
	second, err := p.ListUsers(t.Context(), connection(nil), first.Next)
	require.NoError(t, err)
	late := second.Users[0].Fields
	require.Equal(t, flag(false), late[operation.FieldIsActive], "not yet")
	require.Equal(t, text(operation.Exempt), late[operation.FieldHOSComplianceType])
	require.Equal(t, text("555 0100"), late[operation.FieldPhoneNumber])
	require.Equal(t, null(), late[operation.FieldPhoneCountryCode])
	require.Equal(t, null(), late[operation.FieldLicenseNumber])
	last, err := p.ListUsers(t.Context(), connection(nil), second.Next)
	require.NoError(t, err)
	require.Empty(t, last.Next)
	require.Empty(t, last.Users)
}

func TestListUsers_Refused(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{`{"result":null}`, `{"result":[{}]}`, `{"result":[{"id":7}]}`, `{"result":[null]}`, `{"result":[{"id":"b1"},{"id":"b2"}]}`} {
		_, err := provider(t, listing("b2", answer)).ListUsers(t.Context(), connection(nil), "b2")
		require.True(t, tsptest.Failure(t, err).Retryable, answer)
	}
	for _, cursor := range []string{" ", `b"1`, strings.Repeat("b", 65)} {
		_, err := provider(t).ListUsers(t.Context(), connection(nil), cursor)
		refusal(t, err)
	}
	_, err := provider(t).ReadUser(t.Context(), connection(nil), "")
	refusal(t, err)
	_, err = provider(t, getting(tsptest.File(t, "testdata/users_none.json"))).ReadUser(t.Context(), connection(nil), userID)
	require.Contains(t, refusal(t, err).Detail, "user not found")
}

// TestRules_Same are the ways of writing a number that are one at the provider, so
// that a read back does not report them.
func TestRules_Same(t *testing.T) {
	t.Parallel()
	rule := provider(t).Describe().Users.Rule(operation.FieldPhoneNumber)
	for sent, want := range map[string]bool{
		"+1 (555) 010-0144": true, "1-555-010-0144": true, "555.010.0144": true, "+52 5550100144": true,
		"5550100145": false, "555 CALL ME": false,
	} {
		require.Equal(t, want, rule.Same(text(sent), text("5550100144")), sent)
	}
}
