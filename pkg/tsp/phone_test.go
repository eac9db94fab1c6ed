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
}
