package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
)

const goodRegistry = `
partners:
  - id: x
    connections:
      - provider: samsara
        credentials: {access_token: "${ACME_TOKEN}"}
`

// production gives an environment that production takes.
func production(t *testing.T) []string {
	t.Helper()
	keyset := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, os.WriteFile(keyset, []byte("{}"), 0o600))
	return []string{
		"WRITEBACK_ENV=production", "WRITEBACK_OIDC_ISSUER=https://auth.example.com/realms/catena", "WRITEBACK_OIDC_AUDIENCE=writeback",
		"WRITEBACK_KEYSET_FILE=" + keyset, "WRITEBACK_REGISTRY_FILE=" + write(t, goodRegistry), "ACME_TOKEN=planted-token",
	}
}

func TestProduction_RefusesWhatIsForDevelopment(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		more []string
		want string
	}{
		{"nothing wrong", nil, ""},
		{"http issuer", []string{"WRITEBACK_OIDC_ISSUER=http://auth.example.com/realms/catena"}, `WRITEBACK_OIDC_ISSUER="http://auth.example.com/realms/catena": must be https`},
		{"issuer of the dev stack", []string{"WRITEBACK_OIDC_ISSUER=http://127.0.0.1:8080/realms/catena"}, "WRITEBACK_OIDC_ISSUER"},
		{"issuer on this machine", []string{"WRITEBACK_OIDC_ISSUER=https://localhost/realms/catena"}, "not on this machine"},
		{"issuer at a loopback address", []string{"WRITEBACK_OIDC_ISSUER=https://127.0.0.1/realms/catena"}, "not on this machine"},
		{"issuer at IPv6 loopback", []string{"WRITEBACK_OIDC_ISSUER=https://[::1]/realms/catena"}, "not on this machine"},
		{"issuer at no address", []string{"WRITEBACK_OIDC_ISSUER=https://0.0.0.0/realms/catena"}, "not on this machine"},
		{"issuer below localhost", []string{"WRITEBACK_OIDC_ISSUER=https://auth.localhost/realms/catena"}, "not on this machine"},
		{"issuer at a public address", []string{"WRITEBACK_OIDC_ISSUER=https://93.184.216.34/realms/catena"}, ""},
		{"tokens for anybody", []string{"WRITEBACK_OIDC_AUDIENCE="}, `WRITEBACK_OIDC_AUDIENCE="": is required in production: audience that tokens must name`},
		{"no keyset", []string{"WRITEBACK_KEYSET_FILE="}, `WRITEBACK_KEYSET_FILE="": is required in production`},
		{"local providers", []string{"WRITEBACK_PROVIDER_LOCAL=true"}, "WRITEBACK_PROVIDER_LOCAL=\"true\": is for development only; unset it"},
		{"local webhooks", []string{"WRITEBACK_WEBHOOK_LOCAL=true"}, "WRITEBACK_WEBHOOK_LOCAL"},
		{"sandbox", []string{"WRITEBACK_SAMSARA_URL=http://sandbox:8090/samsara"}, "WRITEBACK_SAMSARA_URL"},
		{"sandbox's token", []string{"ACME_TOKEN=sandbox-samsara-c1"}, "line 6: the credential access_token (ACME_TOKEN) is one of the sandbox's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			environ := slices.Concat(production(t), tt.more)
			_, _, err := config.Load[config.API](environ)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "planted")
			_, _, err = config.Load[config.API](append(environ, "WRITEBACK_ENV=development"))
			require.NoError(t, err, "development takes it")
		})
	}
	_, _, err := config.Load[config.Worker]([]string{"WRITEBACK_ENV=staging"})
	require.ErrorContains(t, err, "must be development or production")
}

// TestProduction_HoldsForEveryProgram: what an api refuses, the worker beside it and the
// operator's tool do not take.
func TestProduction_HoldsForEveryProgram(t *testing.T) {
	t.Parallel()
	good := production(t)
	_, _, err := config.Load[config.Worker](good)
	require.NoError(t, err)
	_, _, err = config.Load[config.Operator](good)
	require.NoError(t, err)
	for name, value := range map[string]string{
		"WRITEBACK_KEYSET_FILE": "", "WRITEBACK_PROVIDER_LOCAL": "true", "WRITEBACK_WEBHOOK_LOCAL": "true", "WRITEBACK_MOTIVE_URL": "http://motive.example",
		"WRITEBACK_SANDBOX_URL": "http://sandbox:8090", "WRITEBACK_REGISTRY_FILE": write(t, "partners: [{connections: [{credentials: {access_token: planted}}]}]"),
	} {
		bad := append(slices.Clone(good), name+"="+value)
		_, _, err = config.Load[config.Worker](bad)
		require.ErrorContains(t, err, name+"=")
		if slices.Contains(config.Names[config.Operator](), name) {
			_, _, err = config.Load[config.Operator](bad)
			require.ErrorContains(t, err, name+"=")
		}
	}
}

func TestProduction_CredentialsInClear(t *testing.T) {
	t.Parallel()
	for _, registry := range []string{
		"partners: [{connections: [{credentials: {access_token: planted-token}}]}]",
		"partners: [{connections: [{credentials: {access_token: \"x${ACME_TOKEN}\"}}]}]",
		"partners: [{connections: [{credentials: {a: \"${ACME_TOKEN}\", b: \"\", access_token: planted-token, z: planted-too}}]}]",
		"a: &c {access_token: planted-token}\npartners: [{connections: [{credentials: *c}]}]",
	} {
		_, _, err := config.Load[config.API](append(production(t), "WRITEBACK_REGISTRY_FILE="+write(t, registry)))
		require.ErrorContains(t, err, "the credential access_token is in clear", registry)
		require.NotContains(t, err.Error(), "planted-token")
	}
	_, _, err := config.Load[config.API](append(production(t), "WRITEBACK_REGISTRY_FILE="+write(t, "partners: [{connections: [{credentials: {}}]}]")))
	require.NoError(t, err)
	_, _, err = config.Load[config.API](append(production(t), "WRITEBACK_REGISTRY_FILE="+write(t, "partners: [{connections: [{credentials: {a: \"\"}}]}]")))
	require.NoError(t, err, "an empty one gives nothing away")
}
