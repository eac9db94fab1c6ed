package samsara_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/samsara"
	"writeback/pkg/tsp/tsptest"
)

// readAndList gives the fields of one driver as they are read back and as they are
// listed.
func readAndList(t *testing.T, s settings, driver string) (read, listed changes) {
	t.Helper()
	server := tsptest.NewServer(t,
		tsptest.Exchange{Method: http.MethodGet, Path: "/fleet/drivers/1", Answer: `{"data":` + driver + `}`},
		tsptest.Exchange{
			Method: http.MethodGet, Path: "/fleet/drivers?driverActivationStatus=active&limit=200",
			Header: map[string]string{"Authorization": "Bearer " + token},
			Answer: `{"data":[` + driver + `],"pagination":{"endCursor":"","hasNextPage":false}}`,
		})
	p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
	read, err := p.ReadUser(t.Context(), connection(s), "1")
	require.NoError(t, err)
	list, err := p.ListUsers(t.Context(), connection(s), "")
	require.NoError(t, err)
	require.Equal(t, "deactivated:", list.Next)
	require.Len(t, list.Users, 1)
	require.Equal(t, "1", list.Users[0].SourceID)
	return read, list.Users[0].Fields
}

func TestFields(t *testing.T) {
	t.Parallel()
	oil := `,"usDriverRulesetOverride":{"cycle":"USA Property (7/60)","restart":"24-hour Restart","restbreak":"None","usStateToOverride":""},
		"eldBigDayExemptionEnabled":false`
	absent := []operation.Field{}
	tests := []struct {
		name     string
		settings settings
		more     string
		listed   changes
		// unread are listed, but not read back.
		unread []operation.Field
		// unsaid have a value that none of ours says: they are listed as null.
		unsaid []operation.Field
		gone   []operation.Field
	}{
		{name: "nothing known", listed: changes{
			operation.FieldIsDriver: flag(true), operation.FieldUsername: null(), operation.FieldNotes: null(), operation.FieldDOTID: null(),
			operation.FieldHOSRulesetCode: null(), operation.FieldPhoneNumber: null(),
		}, gone: []operation.Field{
			operation.FieldIsActive, operation.FieldStatus, operation.FieldAllowYardMove, operation.FieldHOSComplianceType,
			operation.FieldDefaultTimeZone, operation.FieldCountryCode, operation.FieldEmployeeNumber, operation.FieldLicenseCountry,
		}},
		{name: "deactivated", more: `,"driverActivationStatus":"deactivated"`,
			listed: changes{operation.FieldIsActive: flag(false), operation.FieldStatus: text("INACTIVE")}},
		{name: "status of tomorrow", more: `,"driverActivationStatus":"onLeave"`, gone: []operation.Field{operation.FieldIsActive, operation.FieldStatus}},
		{name: "two names", more: `,"name":"Ann Lee"`, listed: changes{operation.FieldFirstName: text("Ann"), operation.FieldLastName: text("Lee")}},
		{name: "three names", more: `,"name":"Ann van Dyk"`,
			listed: changes{operation.FieldFirstName: text("Ann van"), operation.FieldLastName: text("Dyk")},
			unread: []operation.Field{operation.FieldFirstName, operation.FieldLastName}},
		{name: "one name", more: `,"name":"Ann"`, listed: changes{operation.FieldFirstName: null(), operation.FieldLastName: text("Ann")},
			unread: []operation.Field{operation.FieldFirstName, operation.FieldLastName}},
		{name: "phone in two parts", more: `,"phone":"+52 55 010"`,
			listed: changes{operation.FieldPhoneCountryCode: text("+52"), operation.FieldPhoneNumber: text("55 010")},
			unread: []operation.Field{operation.FieldPhoneCountryCode, operation.FieldPhoneNumber}},
		{name: "phone in one part", more: `,"phone":"+5255010"`, listed: changes{operation.FieldPhoneNumber: text("+5255010")},
			unread: []operation.Field{operation.FieldPhoneNumber}, gone: []operation.Field{operation.FieldPhoneCountryCode}},
		{name: "phone without a code", more: `,"phone":"55 010"`, listed: changes{operation.FieldPhoneNumber: text("55 010")}},
		{name: "no DOT number", more: `,"carrierSettings":{"dotNumber":0}`, listed: changes{operation.FieldDOTID: null()}},
		{name: "strange DOT number", more: `,"carrierSettings":{"dotNumber":1.5}`, gone: []operation.Field{operation.FieldDOTID}},
		{name: "zone that is not ours", more: `,"timezone":"Mars/Base"`, unsaid: []operation.Field{operation.FieldDefaultTimeZone}},
		{name: "locale is no country by itself", more: `,"locale":"us"`, gone: []operation.Field{operation.FieldCountryCode}},
		{name: "locale", settings: settings{"write_locale": "true"}, more: `,"locale":"pr"`, listed: changes{operation.FieldCountryCode: text("PRI")}},
		{name: "employee number", settings: settings{"employee_external_id": "payrollId"}, more: `,"externalIds":{"payrollId":"E1"}`,
			listed: changes{operation.FieldEmployeeNumber: text("E1")}},
		{name: "exempt", more: `,"eldExempt":true`, listed: changes{operation.FieldHOSComplianceType: text("exempt")}},
		{name: "weak ruleset is not guessed", more: oil, gone: []operation.Field{operation.FieldHOSRulesetCode}},
		{name: "yard moves alone", more: `,"eldYmEnabled":true,"eldPcEnabled":false,"eldAdverseWeatherExemptionEnabled":false,"eldExempt":true`, listed: changes{
			operation.FieldAllowYardMove: flag(true), operation.FieldAllowPersonalConveyance: flag(false),
			operation.FieldAllowAdverseDriving: flag(false), operation.FieldHOSComplianceType: text("exempt"),
		}},
		{name: "conveyance alone", more: `,"eldYmEnabled":false,"eldPcEnabled":true,"eldAdverseWeatherExemptionEnabled":false,"eldExempt":false`, listed: changes{
			operation.FieldAllowYardMove: flag(false), operation.FieldAllowPersonalConveyance: flag(true),
			operation.FieldAllowAdverseDriving: flag(false), operation.FieldHOSComplianceType: text("non_exempt"),
		}},
		{name: "weak ruleset", settings: settings{"weak_rulesets": "true"}, more: oil,
			listed: changes{operation.FieldHOSRulesetCode: text("US_INT_OILTR_60_7_NOBRK")}},
		{name: "the ruleset that says most", settings: settings{"weak_rulesets": "true"}, more: oil + `,"waitingTimeDutyStatusEnabled":true`,
			listed: changes{operation.FieldHOSRulesetCode: text("US_INT_OILWL_60_7_NOBRK")}},
		{name: "unknown ruleset", more: `,"usDriverRulesetOverride":{"cycle":"Moon"}`, unsaid: []operation.Field{operation.FieldHOSRulesetCode}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			read, listed := readAndList(t, tt.settings, `{"id":"1"`+tt.more+`}`)
			for f, want := range tt.listed {
				require.Equal(t, want, listed[f], f)
				require.Contains(t, listed, f)
			}
			for _, f := range append(absent, tt.gone...) {
				require.NotContains(t, listed, f)
				require.NotContains(t, read, f)
			}
			for _, f := range tt.unread {
				require.Contains(t, listed, f)
				require.NotContains(t, read, f)
				delete(listed, f)
			}
			for _, f := range tt.unsaid {
				require.Equal(t, null(), listed[f], f)
				require.Contains(t, listed, f)
				require.NotContains(t, read, f)
				delete(listed, f)
			}
			for f, v := range read {
				require.Equal(t, listed[f], v, f)
			}
		})
	}
}

func TestListUsers_PageThatWouldNotEnd(t *testing.T) {
	t.Parallel()
	for cursor, answer := range map[string]string{
		"":         `{"data":[],"pagination":{"endCursor":"","hasNextPage":true}}`,
		"active:A": `{"data":[],"pagination":{"endCursor":"A","hasNextPage":true}}`,
		"active:":  `{"data":[{"name":"no id"}],"pagination":{"endCursor":"","hasNextPage":false}}`,
		"active:B": `{"data":[{"id":"1"}]}`,
	} {
		server := tsptest.NewServer(t, tsptest.Exchange{Method: http.MethodGet, Path: listPath(cursor), Answer: answer})
		p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
		_, err := p.ListUsers(t.Context(), connection(nil), cursor)
		f := tsptest.Failure(t, err)
		require.Equal(t, operation.ErrorTSP, f.Type, cursor)
		require.True(t, f.Retryable, cursor)
	}
}

func listPath(cursor string) string {
	path := "/fleet/drivers?driverActivationStatus=active&limit=200"
	if len(cursor) > len("active:") {
		path = "/fleet/drivers?after=" + cursor[len("active:"):] + "&driverActivationStatus=active&limit=200"
	}
	return path
}

func TestListUsers_CursorOfAnother(t *testing.T) {
	t.Parallel()
	p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: tsptest.NewServer(t).URL})
	for _, cursor := range []string{"x", "Active:", "all:1", ":1"} {
		_, err := p.ListUsers(t.Context(), connection(nil), cursor)
		require.Equal(t, operation.ErrorValidation, tsptest.Failure(t, err).Type, cursor)
	}
	_, err := p.ReadUser(t.Context(), tsp.Connection{Credentials: oauth("")}, "..")
	require.Equal(t, operation.ErrorValidation, tsptest.Failure(t, err).Type)
}

func TestListUsers_NoMoreThanAPage(t *testing.T) {
	t.Parallel()
	list := func(drivers int) (tsp.UserPage, error) {
		server := tsptest.NewServer(t, tsptest.Exchange{
			Method: http.MethodGet, Path: listPath(""), Answer: `{"data":[` + strings.Repeat(`{"id":"1"},`, drivers-1) + `{"id":"2"}],"pagination":{"hasNextPage":false}}`,
		})
		p := samsara.New(httpcall.New(httpcall.Config{}), samsara.Config{BaseURL: server.URL})
		return p.ListUsers(t.Context(), connection(nil), "")
	}
	page, err := list(512)
	require.NoError(t, err)
	require.Len(t, page.Users, 512)
	for _, drivers := range []int{513, 80_000} {
		_, err = list(drivers)
		require.Equal(t, operation.ErrorTSP, tsptest.Failure(t, err).Type, drivers)
	}
}
