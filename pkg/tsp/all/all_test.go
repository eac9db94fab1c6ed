package all_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/all"
)

func TestProviders(t *testing.T) {
	t.Parallel()
	registry, err := all.Providers(all.Config{})
	require.NoError(t, err)
	require.Equal(t, []string{"catena_simulator", "geotab", "gpsinsight", "motive", "samsara", "verizon_connect", "webfleet", "wialon"}, registry.Names())
	for _, name := range registry.Names() {
		p, ok := registry.Get(name)
		require.True(t, ok)
		d := p.Describe()
		require.Equal(t, name, d.Name)
		require.Positive(t, d.Limits.Call, "%s: an adapter states its own deadline", name)
		fields := map[operation.Field]tsp.Rule{}
		for _, rule := range d.Users {
			require.NotContains(t, fields, rule.Field, "%s: one rule per field", name)
			fields[rule.Field] = rule
		}
		for _, spec := range operation.UserFields {
			require.Contains(t, fields, spec.Name, "%s: every field is decided", name)
		}
		require.Len(t, fields, len(operation.UserFields), name)
	}
}
