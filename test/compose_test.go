package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"writeback/internal/config"
)

// pinned is a tag that starts with a full version: not "latest", not "7".
var pinned = regexp.MustCompile(`:v?\d+\.\d+\.\d+(-[a-z0-9.]+)?$`)

func loadCompose(t *testing.T, more ...cli.ProjectOptionsFn) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../docker-compose.yml"}, append(more, cli.WithName("writeback"))...)
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

// TestCompose_SetsOnlyKnownVariables finds a variable that was renamed in the
// code and not in the file, or the other way round.
func TestCompose_SetsOnlyKnownVariables(t *testing.T) {
	t.Parallel()
	known := map[string][]string{
		"api":     config.Names[config.API](),
		"worker":  config.Names[config.Worker](),
		"sandbox": config.Names[config.Sandbox](),
	}
	project := loadCompose(t)
	for program := range known {
		service, err := project.GetService(program)
		require.NoError(t, err)
		require.NotEmpty(t, known[program], "config knows no variable of %s", program)
		require.NotNil(t, service.Build, program)
		require.Equal(t, program, service.Build.Target)
		for name := range service.Environment {
			if strings.HasPrefix(name, "WRITEBACK_") && !slices.Contains(known[program], name) {
				t.Errorf("service %s sets %s, which the program does not know", program, name)
			}
		}
	}
}

// TestCompose_HasTheCommand: it reaches what api and worker reach, and is no part of the
// stack that `up` starts.
func TestCompose_HasTheCommand(t *testing.T) {
	t.Parallel()
	_, started := loadCompose(t).Services["writeback"]
	require.False(t, started)
	project := loadCompose(t, cli.WithProfiles([]string{"tools"}))
	tool, err := project.GetService("writeback")
	require.NoError(t, err)
	require.Equal(t, "cli", tool.Build.Target)
	require.True(t, tool.ReadOnly)
	checkMounts(t, "writeback", tool.Volumes, project)
	worker, err := project.GetService("worker")
	require.NoError(t, err)
	for name, value := range worker.Environment {
		if slices.Contains(config.Names[config.Operator](), name) {
			require.Equal(t, value, tool.Environment[name], name)
		}
	}
}

func TestCompose_ServicesAreFitToRun(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	require.NotEmpty(t, project.Services)
	for name, s := range project.Services {
		if s.Build == nil {
			require.Regexp(t, pinned, s.Image, "%s: image is not pinned", name)
			require.NotNil(t, s.HealthCheck, "%s: no health check", name)
		}
		require.Equal(t, "unless-stopped", s.Restart, "%s: restart policy", name)
		require.NotNil(t, s.StopGracePeriod, "%s: stop_grace_period", name)
		require.NotNil(t, s.Deploy, "%s: resource limits", name)
		require.NotNil(t, s.Deploy.Resources.Limits, "%s: resource limits", name)
		require.Positive(t, int64(s.Deploy.Resources.Limits.MemoryBytes), "%s: memory limit", name)
		for _, p := range s.Ports {
			require.Equal(t, "127.0.0.1", p.HostIP, "%s: port %s is open to the network", name, p.Published)
		}
		checkMounts(t, name, s.Volumes, project)
		for dependency, d := range s.DependsOn {
			other, err := project.GetService(dependency)
			require.NoError(t, err)
			if d.Condition == types.ServiceConditionHealthy {
				require.NotNil(t, other.HealthCheck, "%s waits for the health of %s, which has no check", name, dependency)
			}
		}
	}
}

func checkMounts(t *testing.T, service string, volumes []types.ServiceVolumeConfig, project *types.Project) {
	t.Helper()
	for _, v := range volumes {
		switch v.Type {
		case types.VolumeTypeBind:
			info, err := os.Stat(v.Source)
			require.NoError(t, err, "%s mounts a file that does not exist", service)
			if info.IsDir() { // Docker makes an empty one of a name that it does not find
				files, err := os.ReadDir(v.Source)
				require.NoError(t, err)
				require.NotEmpty(t, files, "%s mounts %s, which is empty", service, filepath.Base(v.Source))
			}
			require.True(t, v.ReadOnly, "%s can write to %s", service, filepath.Base(v.Source))
		case types.VolumeTypeVolume:
			require.Contains(t, project.Volumes, v.Source, "%s uses a volume that is not declared", service)
		}
	}
}

// TestCompose_ShowsDashboardsAndRules: what Grafana and Prometheus are told to read is
// where the files are mounted.
func TestCompose_ShowsDashboardsAndRules(t *testing.T) {
	t.Parallel()
	lgtm, err := loadCompose(t).GetService("lgtm")
	require.NoError(t, err)
	mounted := map[string]string{}
	for _, v := range lgtm.Volumes {
		mounted[v.Target] = v.Source
	}
	rules, _ := readYAML(t, "../deploy/grafana/prometheus.yaml")["rule_files"].([]any)
	require.Len(t, rules, 1)
	pattern, _ := rules[0].(string)
	found, err := filepath.Glob(filepath.Join(mounted[filepath.Dir(pattern)], filepath.Base(pattern)))
	require.NoError(t, err)
	require.Len(t, found, 2)

	providers, _ := readYAML(t, "../deploy/grafana/dashboards.yaml")["providers"].([]any)
	require.Len(t, providers, 1)
	var provider object = providers[0].(map[string]any)
	found, err = filepath.Glob(filepath.Join(mounted[provider.text("options", "path")], "*.json"))
	require.NoError(t, err)
	require.Len(t, found, 5)
	require.Contains(t, mounted, "/otel-lgtm/grafana/conf/provisioning/dashboards/writeback.yaml")
}

// TestRealm_HasThePartners reads the realm as our verifier needs it: a client
// secret, the org claim, the audience and the scopes.
func TestRealm_HasThePartners(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../deploy/keycloak/catena-realm.json")
	require.NoError(t, err)
	var realm struct {
		Realm   string
		Scopes  []struct{ Name string } `json:"clientScopes"`
		Clients []realmClient
	}
	require.NoError(t, json.Unmarshal(raw, &realm))
	require.Equal(t, "catena", realm.Realm)
	declared := make([]string, 0, len(realm.Scopes))
	for _, s := range realm.Scopes {
		declared = append(declared, s.Name)
	}
	clients := map[string]realmClient{}
	for _, c := range realm.Clients {
		clients[c.ClientID] = c
		for _, s := range slices.Concat(c.Default, c.Optional) {
			require.Contains(t, declared, s, "%s has a scope that the realm does not declare", c.ClientID)
		}
	}
	for _, want := range []struct{ id, secret, partner string }{
		{"demo-partner", "demo-secret", "00000000-0000-7000-8000-0000000000d1"},
		{"other-partner", "other-secret", "00000000-0000-7000-8000-0000000000d2"},
	} {
		c, ok := clients[want.id]
		require.True(t, ok, "the realm has no client %s", want.id)
		c.check(t, want.secret, want.partner)
	}
}

type realmClient struct {
	ClientID        string
	Secret          string
	ServiceAccounts bool     `json:"serviceAccountsEnabled"`
	Default         []string `json:"defaultClientScopes"`
	Optional        []string `json:"optionalClientScopes"`
	Mappers         []struct {
		Kind   string `json:"protocolMapper"`
		Config map[string]string
	} `json:"protocolMappers"`
}

func (c realmClient) check(t *testing.T, secret, partner string) {
	t.Helper()
	require.Equal(t, secret, c.Secret)
	require.True(t, c.ServiceAccounts, "%s may not use client_credentials", c.ClientID)
	for _, scope := range []string{
		"telematics:read", "telematics:write", "resource_operation:read", "connection:read",
		"webhook:read", "webhook:create", "webhook:update", "webhook:delete",
	} {
		require.Contains(t, c.Default, scope, c.ClientID)
	}
	require.Contains(t, c.Optional, "organization", "partners ask for scope=organization")

	var org map[string]struct {
		ID    string   `json:"id"`
		Types []string `json:"org_type"`
	}
	audience := ""
	for _, m := range c.Mappers {
		switch m.Kind {
		case "oidc-hardcoded-claim-mapper":
			require.Equal(t, "org", m.Config["claim.name"])
			require.Equal(t, "JSON", m.Config["jsonType.label"])
			require.NoError(t, json.Unmarshal([]byte(m.Config["claim.value"]), &org))
		case "oidc-audience-mapper":
			audience = m.Config["included.custom.audience"]
		}
	}
	require.Equal(t, "writeback", audience)
	require.Len(t, org, 1, "one organization, or the token would be refused")
	for _, o := range org {
		require.Equal(t, partner, o.ID)
		require.Contains(t, o.Types, "partner")
	}
}
