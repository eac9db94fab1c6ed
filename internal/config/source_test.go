package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
)

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestRead_FlagThenEnvironmentThenFile(t *testing.T) {
	t.Parallel()
	file := write(t, `
# as an operator writes it
WRITEBACK_NATS_URL: nats://file:4222
WRITEBACK_REDIS_URL: redis://file:6379/0
WRITEBACK_WORKER_CONCURRENCY: 7
WRITEBACK_LOG_LEVEL: "debug"
WRITEBACK_ROLES:
`)
	w, warnings, err := config.Read[config.Worker](config.Sources{
		Flags:   map[string]string{"WRITEBACK_NATS_URL": "nats://flag:4222"},
		Environ: []string{"WRITEBACK_NATS_URL=nats://environment:4222", "WRITEBACK_REDIS_URL=redis://environment:6379/0", "WRITEBACK_LOG_LEVEL="},
		File:    file,
	})
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, "nats://flag:4222", w.NATSURL)
	require.Equal(t, "redis://environment:6379/0", w.RedisURL)
	require.Equal(t, 7, w.Concurrency)
	require.Equal(t, "DEBUG", w.LogLevel.String(), "an empty variable leaves the file's")
	require.Equal(t, "operations,webhooks,sync", w.Roles, "an empty line leaves the default")
}

func TestRead_FaultsSayWhereTheyStand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, want string }{
		{"value", "WRITEBACK_NATS_URL: localhost", `WRITEBACK_NATS_URL="localhost" (FILE:1): must be nats`},
		{"secret", "\nWRITEBACK_CURSOR_KEY: hunter2", `WRITEBACK_CURSOR_KEY="*****" (FILE:2): must be at least 32 bytes`},
		{"unknown", "WRITEBACK_NAST_URL: nats://hunter2", `WRITEBACK_NAST_URL="" (FILE:1): is not a variable that Writeback knows; did you mean WRITEBACK_NATS_URL?`},
		{"twice", "WRITEBACK_API_ADDR: :1\nWRITEBACK_API_ADDR: :2", `(FILE:2): stands in the file twice`},
		{"list", "WRITEBACK_ROLES: [hunter2]", `(FILE:1): must be one value`},
		{"no mapping", "- hunter2", `FILE must be lines of NAME: value`},
		{"no YAML", "a: [hunter2", `FILE is not YAML`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := write(t, tt.file)
			_, _, err := config.Read[config.API](config.Sources{File: file, Environ: []string{issuer}})
			require.ErrorContains(t, err, strings.ReplaceAll(tt.want, "FILE", file))
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	_, _, err := config.Read[config.API](config.Sources{File: "none.yaml", Environ: []string{issuer}})
	require.ErrorContains(t, err, "none.yaml")
	faults, rest := config.Faults(err)
	require.Empty(t, faults)
	require.ErrorIs(t, rest, os.ErrNotExist)
	file := write(t, "WRITEBACK_API_ADDR: :1")
	_, _, err = config.Read[config.API](config.Sources{File: file, Environ: []string{issuer, "WRITEBACK_API_ADDR=8080"}})
	require.ErrorContains(t, err, `WRITEBACK_API_ADDR="8080": must be host:port`, "the environment's, and not where the file has another")
	_, _, err = config.Read[config.API](config.Sources{Flags: map[string]string{"WRITEBACK_API_ADDR": "8080"}, Environ: []string{issuer}})
	require.ErrorContains(t, err, `WRITEBACK_API_ADDR="8080" (flag --api-addr): must be host:port`)
	faults, rest = config.Faults(err)
	require.Len(t, faults, 1)
	require.NoError(t, rest)
}

func TestRead_EmptyFile(t *testing.T) {
	t.Parallel()
	_, _, err := config.Read[config.Worker](config.Sources{File: write(t, "# nothing\n")})
	require.NoError(t, err)
}

func TestFlags_HaveNoSecret(t *testing.T) {
	t.Parallel()
	var names []string
	for _, f := range config.Flags[config.API]() {
		names = append(names, f.Name)
		require.NotEmpty(t, f.Help)
	}
	require.Contains(t, names, "nats-url")
	require.Contains(t, names, "oidc-issuer")
	require.NotContains(t, names, "cursor-key")
	for _, f := range config.Flags[config.Operator]() {
		require.NotContains(t, []string{"token", "client-secret"}, f.Name)
	}
}

func TestOperator_IsPrintedWithoutSecrets(t *testing.T) {
	t.Parallel()
	o, _, err := config.Load[config.Operator]([]string{"WRITEBACK_TOKEN=hunter2", "WRITEBACK_CLIENT_SECRET=hunter2", "WRITEBACK_CLIENT_ID=me"})
	require.NoError(t, err)
	require.Equal(t, "hunter2", o.Token)
	require.NotContains(t, o.String()+o.LogValue().String(), "hunter2")
	require.Contains(t, o.String(), "me")
}
