package geotab

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

func FuzzErrorBody(f *testing.F) {
	for _, seed := range []string{
		`{"error":{"message":"m","data":{"type":"OverLimitException"}}}`, `{"error":{"errors":[{"name":"GenericException"}]}}`,
		`{"error":7}`, `{"error":{"data":7,"message":"` + "\xff" + `"}}`, `{"error":null,"result":null}`, "", "null", "[]", "{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, ok := decodeReply(body)
		if !ok || !r.failed() {
			return
		}
		failure := client{hidden: httpcall.Hidden{"secret"}}.classify("geotab: set user", httpcall.Answer{Status: 200}, r)
		if !failure.Type.Valid() {
			t.Errorf("type %q is not published", failure.Type)
		}
		if !utf8.ValidString(failure.Detail) || len(failure.Detail) > 450 {
			t.Errorf("detail is not fit for a log: %q", failure.Detail)
		}
	})
}

func FuzzPhone(f *testing.F) {
	for _, seed := range []string{"+1 5550100144", "+", "", "+353", "12345678901", "+1 (555) 010-0144", "+12", "+049 30 123456"} {
		f.Add(seed, "1", "+44 123456")
		f.Add(seed, "", "+44 123456")
	}
	f.Fuzz(func(t *testing.T, number, code, present string) {
		text, err := joinPhone(number, tsp.Digits(code), present)
		if err == nil && (len(text) > maxPhone || text[0] != '+') {
			t.Errorf("got %q", text)
		}
		if plus := strings.HasPrefix(strings.TrimSpace(number), "+"); err == nil && plus && tsp.Digits(code) == "" && tsp.Digits(text) != tsp.Digits(number) {
			t.Errorf("%q became %q", number, text)
		}
	})
}

func TestRulesetTable(t *testing.T) {
	t.Parallel()
	table := loadRulesets()
	require.Len(t, table, 124)
	weak := 0
	for code, name := range table {
		require.Contains(t, operation.RulesetCodes, code)
		require.NotEmpty(t, name.Value, code)
		if name.Weak {
			weak++
		}
	}
	require.Equal(t, 9, weak)
	require.Len(t, codesOf(table), len(table), "each name is that of one ruleset")
}
