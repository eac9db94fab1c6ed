package test

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
	"writeback/pkg/tsp/all"
	"writeback/pkg/tsp/all/boxes"
)

const configurationPage = "../docs/configuration.md"

// TestConfigurationPage_IsWhatTheStructsSay makes docs/configuration.md from the
// structs of package config and compares.
func TestConfigurationPage_IsWhatTheStructsSay(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	require.NoError(t, config.Page(&page))
	row := map[string]string{} // the providers' variables share one
	for provider := range all.Hosts() {
		row[config.URLVariable(provider)] = config.URLVariable("<name>")
	}
	for _, name := range config.Known() {
		name = cmp.Or(row[name], name)
		require.Contains(t, page.String(), "\n| `"+name+"` |", "it has a row")
	}
	if *update {
		require.NoError(t, os.WriteFile(configurationPage, []byte(page.String()), 0o600))
	}
	have, err := os.ReadFile(configurationPage)
	require.NoError(t, err)
	require.Equal(t, page.String(), string(have), "docs/configuration.md is stale: run `make generate`")
}

// TestDevSecret_KnowsTheSandbox: production refuses what the sandbox would take.
func TestDevSecret_KnowsTheSandbox(t *testing.T) {
	t.Parallel()
	for _, seed := range boxes.Seeds() {
		known := len(seed.Credentials) == 0
		for _, value := range seed.Credentials {
			known = known || config.DevSecret(value)
		}
		require.True(t, known, "no credential of connection %s is known as the sandbox's", seed.Connection)
	}
}
