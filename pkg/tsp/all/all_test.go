package all_test

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/all"
	"writeback/pkg/tsp/all/boxes"
)

func TestProviders_DecideEveryField(t *testing.T) {
	t.Parallel()
	registry, err := all.Providers(all.Config{})
	require.NoError(t, err)
	for _, name := range registry.Names() {
		p, ok := registry.Get(name)
		require.True(t, ok)
		d := p.Describe()
		require.Equal(t, name, d.Name)
		require.NotEmpty(t, d.Title, name)
		require.NotEmpty(t, d.Access, name)
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

// TestLists_HaveEveryFolder finds an adapter that was written and not listed.
func TestLists_HaveEveryFolder(t *testing.T) {
	t.Parallel()
	registry, err := all.Providers(all.Config{})
	require.NoError(t, err)
	folders, err := filepath.Glob("../*/box")
	require.NoError(t, err)
	require.Len(t, registry.Names(), len(folders))
	parts := boxes.Parts(boxes.Config{})
	require.Len(t, parts, len(folders))
	for _, part := range parts {
		_, ok := registry.Get(part.Name)
		require.True(t, ok, "the sandbox has a part for %s, which is no provider", part.Name)
		require.Equal(t, part.Make != nil, all.Hosts()[part.Name] != "", "%s: a wire goes with an address", part.Name)
	}
	adapters, err := os.ReadDir("..")
	require.NoError(t, err)
	listed := 0
	for _, f := range adapters {
		switch f.Name() {
		case "all", "httpcall", "tsptest":
		default:
			if f.IsDir() {
				listed++
			}
		}
	}
	require.Len(t, registry.Names(), listed, "every folder is an adapter, and listed")
}

func TestHosts_AreSafe(t *testing.T) {
	t.Parallel()
	require.NotContains(t, all.Hosts(), "catena_simulator")
	for name, host := range all.Hosts() {
		u, err := url.Parse(host)
		require.NoError(t, err, name)
		require.Equal(t, "https", u.Scheme, name)
	}
}
