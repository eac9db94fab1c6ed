package tsp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// A national prefix that is marked as one is no part of the number.
func TestPlusPhone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ number, code, want string }{
		{"+49 30 123-456", "", "+4930123456"},
		{"+49 (0)30 123-456", "", "+4930123456"},
		{"+49 (0) 30 123-456", "+49", "+4930123456"},
		{"(0)30 123-456", "+49", "+4930123456"},
		{"06 1234 5678", "+39", "+390612345678"}, // Italy's is part of the number
		{"(555) 010-0199", "+1", "+15550100199"},
		{"(050) 123", "+1", "+1050123"},
		{"1 555 010 0199", "+1", "+15550100199"},
		{"030 123-456", "+49", "+4930123456"},
		{"0161 123456", "+44", "+44161123456"},
		{"030 123-456", "+39", "+39030123456"},
		{"0", "+49", "+490"},
		{"(0)", "+49", ""},
		{"030 123", "", ""},
		{"+44 1", "+49", ""},
		{"15550100199", "+49", "+4915550100199"}, // eleven digits are many a number elsewhere
		{"55501001990", "+1", "+155501001990"},
		{"1 555 010", "+1", "+11555010"},
		{"555x0100199", "+1", ""},
		{"555\u00a00100", "+1", "+15550100"},
	} {
		got, err := tsp.PlusPhone(tt.number, tt.code)
		require.Equal(t, tt.want, got, "%s %s", tt.number, tt.code)
		require.Equal(t, tt.want == "", err != nil)
	}
	rule := tsp.Rule{Convert: tsp.NationalPhone}
	for sent, held := range map[string]string{
		"+49 (0)30 123456": "+4930123456", "030 123456": "30123456", "1 555 010 0199": "5550100199", "06 1234 5678": "0612345678",
	} {
		require.True(t, rule.Same(operation.Text(sent), operation.Text(held)), "%s is what was written", sent)
	}
	for sent, held := range map[string]string{
		"5550100144": "5550100145", "+1 555 010 0144": "+44 555 010 0145", "555x": "555x1", "1 555 010": "555 010", "": "0",
	} {
		require.False(t, rule.Same(operation.Text(sent), operation.Text(held)), "%s is not %s", sent, held)
	}
}

func TestSplitPhone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"+1 (555) 010-0199": {"5550100199", "+1"}, "+7 495 123": {"495123", "+7"}, "+44 20 7946": {"207946", "+44"},
		"+49 (0)30 123": {"30123", "+49"}, "+39 06 123": {"06123", "+39"}, "+353 1 234": {"1234", "+353"}, "+98 21 12": {"2112", "+98"},
		"+5255 1": {"551", "+52"}, "+852 12": {"12", "+852"}, "+44 12": {}, "+44 123": {"123", "+44"},
		"44 20 7946": {}, "5550100199": {}, "+": {}, "": {}, "+049 30 123": {}, // no code begins with 0
	} {
		number, code, ok := tsp.SplitPhone(text)
		require.Equal(t, want, [2]string{number, code}, text)
		require.Equal(t, want[1] != "", ok, text)
		if ok {
			digits, err := tsp.DialDigits(operation.Text(code))
			require.NoError(t, err, text)
			require.Equal(t, code, "+"+digits.(string))
		}
	}
}

func TestDialDigits_Refuses(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"", "+", "1", "+0", "+01", "+12345", "+1a", "++1", "+1-2", "001"} {
		_, err := tsp.DialDigits(operation.Text(code))
		require.Error(t, err, code)
	}
	for code, want := range map[string]string{"+1": "1", " +353 ": "353", "+1684": "1684"} {
		got, err := tsp.DialDigits(operation.Text(code))
		require.NoError(t, err, code)
		require.Equal(t, want, got)
	}
}
