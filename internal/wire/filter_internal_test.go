package wire

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFilterNames_AreTheParameters: with a filter that is forgotten, a cursor would go on in
// another list than the one it was given for.
func TestFilterNames_AreTheParameters(t *testing.T) {
	t.Parallel()
	names := func(params []parameter) []string {
		var out []string
		for _, p := range params {
			if p.name != sourceDataParam.name {
				out = append(out, p.name)
			}
		}
		return out
	}
	for kind, params := range map[string][]parameter{
		KindOperations: operationFilters, KindUsers: userFilters, KindConnections: connectionFilters,
		KindWebhooks: webhookFilters, KindWebhookLogs: slices.Concat([]parameter{{name: "webhook_id"}}, webhookLogFilters),
	} {
		require.ElementsMatch(t, names(params), filterNames[kind], kind)
	}
}
