package motive

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp/httpcall"
)

func FuzzErrorBody(f *testing.F) {
	for _, seed := range []string{
		`{"error_message":"no"}`, `{"error_message":5}`, `{"errors":{"a":["b",null,{"c":[[[[1]]]]}]}}`,
		`{"errors":"` + "\xff" + `"}`, "", "null", "[]", "7", "<html>", `{"error_message":"\ud800"}`,
	} {
		f.Add([]byte(seed), 422)
	}
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		failure := httpcall.Answer{Status: status, Body: body}.Classify("motive: update user",
			httpcall.Hidden{"secret", "\xff"}.In(errorMessage(body)))
		if !failure.Type.Valid() {
			t.Errorf("type %q is not published", failure.Type)
		}
		if !utf8.ValidString(failure.Detail) || len(failure.Detail) > 400 {
			t.Errorf("detail is not fit for a log: %q", failure.Detail)
		}
	})
}

func FuzzUser(f *testing.F) {
	for _, seed := range []string{`{"user":{"id":1}}`, `{"user":{"id":"1"}}`, `{"user":null}`, `{"user":{"id":1}}x`, ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		user, err := decodeUser(body, "1")
		if err == nil && user["id"] == nil {
			t.Error("a user without an id was taken")
		}
	})
}

func TestDecodeUser(t *testing.T) {
	t.Parallel()
	for body, ok := range map[string]bool{
		`{"user":{"id":9007199254740993}}`:   true, // no float holds it
		`{"user":{"id":"9007199254740993"}}`: true,
		`{"user":{"id":9007199254740992}}`:   false,
		`{"user":{"id":null}}`:               false,
		`{"user":{}}`:                        false,
		`{"user":null}`:                      false,
		`{"user":{"id":9007199254740993}} {`: false,
		`{"id":9007199254740993}`:            false,
	} {
		_, err := decodeUser([]byte(body), "9007199254740993")
		require.Equal(t, ok, err == nil, body)
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	table := loadRulesets()
	require.Len(t, table, 41)
	strong := 0
	for code, rules := range table {
		require.Contains(t, operation.RulesetCodes, code)
		require.NotEmpty(t, rules.Value.Cycle, code)
		if !rules.Weak {
			strong++
		}
	}
	require.Equal(t, 17, strong)
	for zone := range zones {
		require.True(t, slices.Contains(operation.TimeZones, zone), zone)
		require.Contains(t, ianaZones, zones[zone])
	}
	for zone := range extraZones {
		require.True(t, slices.Contains(operation.TimeZones, zone), zone)
		require.Equal(t, zone, ianaZones[extraZones[zone]])
	}
	for name, zone := range ianaZones {
		require.Contains(t, []string{zones[zone], extraZones[zone]}, name, "each way leads back")
	}
	require.Len(t, codesOf(table), len(table), "each value is that of one ruleset")
}

// TestZones_AreTheDocumentedOnes: a zone that only has the same offset today is none of them.
func TestZones_AreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	named := map[string]string{
		"Atlantic Time (Canada)":     "Halifax Moncton Glace_Bay Goose_Bay",
		"Eastern Time (US & Canada)": "New_York Toronto Detroit Nipigon Thunder_Bay Iqaluit Pangnirtung Kentucky/Louisville Kentucky/Monticello",
		"Indiana (East)":             "Indiana/Indianapolis Indiana/Marengo Indiana/Petersburg Indiana/Vevay Indiana/Vincennes Indiana/Winamac",
		"Central Time (US & Canada)": "Chicago Winnipeg Menominee Indiana/Knox Indiana/Tell_City North_Dakota/Beulah North_Dakota/Center " +
			"North_Dakota/New_Salem Rainy_River Rankin_Inlet Resolute",
		"Saskatchewan":                "Regina Swift_Current",
		"Mountain Time (US & Canada)": "Denver Edmonton Boise Cambridge_Bay Inuvik Yellowknife",
		"Arizona":                     "Phoenix",
		"Pacific Time (US & Canada)":  "Los_Angeles Vancouver",
		"Alaska":                      "Anchorage Juneau Nome Sitka Metlakatla",
	}
	want := map[string]string{}
	for name, places := range named {
		for _, place := range strings.Fields(places) {
			want["America/"+place] = name
		}
	}
	for _, zone := range operation.TimeZones {
		got, err := timeZoneBy(nil)(operation.Text(zone))
		require.Equal(t, want[zone] == "", err != nil, zone)
		if err == nil {
			require.Equal(t, want[zone], got, zone)
		}
		extra, err := timeZoneBy(map[string]string{"extra_time_zones": "true"})(operation.Text(zone))
		switch zone {
		case "Pacific/Honolulu":
			require.Equal(t, "Hawaii", extra)
		case "America/St_Johns":
			require.Equal(t, "Newfoundland", extra)
		default:
			require.Equal(t, want[zone] == "", err != nil, zone)
		}
	}
	for zone := range want {
		require.Contains(t, operation.TimeZones, zone)
	}
}

// TestRegions: the states, the federal district and the territories of the USA, and the
// provinces and territories of Canada.
func TestRegions(t *testing.T) {
	t.Parallel()
	require.Len(t, strings.Fields(regions["USA"]), 50+1+5)
	require.Len(t, strings.Fields(regions["CAN"]), 10+3)
	for _, territory := range []string{"DC", "AS", "GU", "MP", "PR", "VI"} {
		require.Contains(t, regions["USA"], " "+territory+" ")
	}
	for _, code := range append(strings.Fields(regions["USA"]), strings.Fields(regions["CAN"])...) {
		got, err := regionCode(operation.Text(code))
		require.NoError(t, err)
		require.Equal(t, code, got)
	}
}
