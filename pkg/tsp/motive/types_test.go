package motive

import (
	"slices"
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
