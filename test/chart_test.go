package test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"writeback/internal/config"
)

const chart = "../deploy/chart"

var profiles = []string{"single", "ha"}

// object is one document of a manifest.
type object map[string]any

// at gives what is below a path, or nil.
func (o object) at(path ...string) any {
	var v any = map[string]any(o)
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

func (o object) text(path ...string) string {
	s, _ := o.at(path...).(string)
	return s
}

func (o object) each(path ...string) []object {
	list, _ := o.at(path...).([]any)
	all := make([]object, 0, len(list))
	for _, v := range list {
		m, _ := v.(map[string]any)
		all = append(all, m)
	}
	return all
}

func (o object) String() string { return o.text("kind") + " " + o.text("metadata", "name") }

func readYAML(t *testing.T, path string) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var v map[string]any
	require.NoError(t, yaml.Unmarshal(raw, &v), path)
	return v
}

// rendered gives the documents that the chart makes for a profile.
func rendered(t *testing.T, profile string) []object {
	t.Helper()
	raw, err := os.ReadFile("../deploy/k8s/" + profile + ".yaml")
	require.NoError(t, err)
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	var all []object
	for {
		var o map[string]any // a named type would be that of all maps below it
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		if o != nil {
			all = append(all, o)
		}
	}
}

func kind(all []object, kinds ...string) []object {
	return slices.DeleteFunc(slices.Clone(all), func(o object) bool { return !slices.Contains(kinds, o.text("kind")) })
}

// TestChart_ManifestsAreOfThisChart: deploy/k8s is rendered by `make chart`, which
// writes the sum of the chart's files into it.
func TestChart_ManifestsAreOfThisChart(t *testing.T) {
	t.Parallel()
	var files []string
	require.NoError(t, filepath.WalkDir(chart, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.Contains(path, "/files/") {
			files = append(files, path)
		}
		return err
	}))
	sort.Strings(files)
	sum := sha256.New()
	for _, f := range files {
		raw, err := os.ReadFile(f)
		require.NoError(t, err)
		sum.Write(raw)
	}
	for _, profile := range profiles {
		raw, err := os.ReadFile("../deploy/k8s/" + profile + ".yaml")
		require.NoError(t, err)
		require.Contains(t, string(raw), "# chart: "+hex.EncodeToString(sum.Sum(nil))+"\n", "run make chart")
	}
}

// TestChart_LetsWebhooksOut: a webhook may be at the ports that docs/webhooks.md names.
func TestChart_LetsWebhooksOut(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/webhooks.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "on port 443 or 8443")
	policy, _ := readYAML(t, chart+"/values.yaml")["networkPolicy"].(map[string]any)
	require.Equal(t, []any{443, 8443}, policy["internetPorts"])
}

// TestChart_ValuesFitTheirSchema, and what is wrong does not.
func TestChart_ValuesFitTheirSchema(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(chart + "/values.schema.json")
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("values.schema.json", doc))
	schema, err := compiler.Compile("values.schema.json")
	require.NoError(t, err)

	check := func(over map[string]any) error {
		values := merged(readYAML(t, chart+"/values.yaml"), over)
		text, err := json.Marshal(values)
		require.NoError(t, err)
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err)
		return schema.Validate(v)
	}
	require.NoError(t, check(nil))
	for _, path := range [][]string{{"image", "repository"}, {"oidc", "issuer"}} {
		require.Empty(t, object(readYAML(t, chart+"/values.yaml")).text(path...), "%v: a placeholder is installed", path)
	}
	for _, profile := range profiles {
		require.NoError(t, check(readYAML(t, chart+"/values-"+profile+".yaml")), profile)
	}
	for _, bad := range []string{
		"{nats: {streamReplicas: 2}}", "{image: {tag: latest}}", "{api: {replicaz: 3}}", "{config: {NO_SUCH: 1}}",
		"{redis: {url: 'http://x'}}", "{environment: staging}", "{workers: {operations: {concurrency: 0}}}", "{surprise: 1}",
	} {
		var over map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(bad), &over))
		require.Error(t, check(over), bad)
	}
}

// merged lays one tree of values over another, as Helm does.
func merged(under, over map[string]any) map[string]any {
	out := maps.Clone(under)
	for key, v := range over {
		a, isMap := out[key].(map[string]any)
		b, both := v.(map[string]any)
		if isMap && both {
			v = merged(a, b)
		}
		out[key] = v
	}
	return out
}

// TestChart_PodsAreFitToRun checks what a pod needs to be safe and to stop in peace.
func TestChart_PodsAreFitToRun(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		deployments := kind(rendered(t, profile), "Deployment")
		require.Len(t, deployments, 4, "api and a worker of each role")
		for _, d := range deployments {
			name := profile + ": " + d.String()
			labels, _ := d.at("spec", "template", "metadata", "labels").(map[string]any)
			selector, _ := d.at("spec", "selector", "matchLabels").(map[string]any)
			require.NotEmpty(t, selector, name)
			require.Subset(t, labels, selector, name)

			var pod object = d.at("spec", "template", "spec").(map[string]any)
			require.Equal(t, false, pod.at("automountServiceAccountToken"), name)
			require.Equal(t, true, pod.at("securityContext", "runAsNonRoot"), name)
			require.Equal(t, "RuntimeDefault", pod.text("securityContext", "seccompProfile", "type"), name)
			require.NotEmpty(t, pod.each("topologySpreadConstraints"), name)
			for _, spread := range pod.each("topologySpreadConstraints") {
				require.Equal(t, selector, spread.at("labelSelector", "matchLabels"), name)
			}
			for _, c := range pod.each("containers") {
				checkContainer(t, name, c)
				checkMountsOf(t, name, pod, c)
			}
			checkGrace(t, name, profile, pod)
		}
	}
}

func checkContainer(t *testing.T, name string, c object) {
	t.Helper()
	require.Regexp(t, pinned, c.text("image"), name)
	require.Equal(t, false, c.at("securityContext", "allowPrivilegeEscalation"), name)
	require.Equal(t, true, c.at("securityContext", "readOnlyRootFilesystem"), name)
	require.Equal(t, []any{"ALL"}, c.at("securityContext", "capabilities", "drop"), name)
	for _, r := range [][]string{{"requests", "cpu"}, {"requests", "memory"}, {"limits", "memory"}} {
		require.NotEmpty(t, c.text(append([]string{"resources"}, r...)...), "%s: %v", name, r)
	}
	ports := map[string]bool{}
	for _, p := range c.each("ports") {
		ports[p.text("name")] = true
	}
	for probe, path := range map[string]string{"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"} {
		require.Equal(t, path, c.text(probe, "httpGet", "path"), "%s: %s", name, probe)
		require.True(t, ports[c.text(probe, "httpGet", "port")], "%s: %s asks a port that is not there", name, probe)
	}
}

// checkMountsOf finds a file that a variable names and no volume holds.
func checkMountsOf(t *testing.T, name string, pod, c object) {
	t.Helper()
	volumes := map[string]bool{}
	for _, v := range pod.each("volumes") {
		volumes[v.text("name")] = true
	}
	for _, m := range c.each("volumeMounts") {
		require.True(t, volumes[m.text("name")], "%s mounts %s, which is no volume", name, m.text("name"))
		require.Equal(t, true, m.at("readOnly"), "%s can write to %s", name, m.text("name"))
		delete(volumes, m.text("name"))
	}
	require.Empty(t, volumes, "%s has volumes that are not mounted", name)
}

// checkGrace compares the time that a pod is given with the time that it takes.
func checkGrace(t *testing.T, name, profile string, pod object) {
	t.Helper()
	settings := configMap(t, profile)
	c, _, err := config.Load[config.Worker]([]string{"WRITEBACK_SHUTDOWN_GRACE=" + settings["WRITEBACK_SHUTDOWN_GRACE"]})
	require.NoError(t, err)
	drain, _ := pod.each("containers")[0].at("lifecycle", "preStop", "sleep", "seconds").(int)
	given, _ := pod.at("terminationGracePeriodSeconds").(int)
	require.GreaterOrEqual(t, given, int(c.ShutdownGrace.Seconds())+drain+10, name)
}

func configMap(t *testing.T, profile string) map[string]string {
	t.Helper()
	for _, o := range kind(rendered(t, profile), "ConfigMap") {
		if o.text("metadata", "name") == "writeback" {
			all := map[string]string{}
			for name, v := range o.at("data").(map[string]any) {
				all[name], _ = v.(string)
			}
			return all
		}
	}
	t.Fatal("no ConfigMap writeback")
	return nil
}

// TestChart_SetsOnlyKnownVariables, and the programs take their values: as in a pod,
// but for files and the secrets' addresses.
func TestChart_SetsOnlyKnownVariables(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		shared := configMap(t, profile)
		for _, d := range kind(rendered(t, profile), "Deployment") {
			c := object(d.at("spec", "template", "spec").(map[string]any)).each("containers")[0]
			program := c.text("name")
			known := map[string][]string{"api": config.Names[config.API](), "worker": config.Names[config.Worker]()}[program]
			all := maps.Clone(shared)
			for _, e := range c.each("env") {
				all[e.text("name")] = e.text("value")
			}
			environ := []string{"WRITEBACK_NATS_URL=nats://nats:4222", "WRITEBACK_REDIS_URL=redis://redis:6379"}
			for name, value := range all {
				if !strings.HasPrefix(name, "WRITEBACK_") {
					continue
				}
				require.Contains(t, known, name, "%s: %s sets what the program does not know", profile, d)
				if strings.HasSuffix(name, "_FILE") {
					value = "chart_test.go" // some file that exists
				}
				environ = append(environ, name+"="+value)
			}
			var warnings []string
			var err error
			if program == "api" {
				_, warnings, err = config.Load[config.API](environ)
			} else {
				_, warnings, err = config.Load[config.Worker](environ)
			}
			require.NoError(t, err, "%s: %s", profile, d)
			require.Empty(t, warnings, "%s: %s", profile, d)
		}
	}
}

// TestChart_SelectorsFindPods: a service, budget, policy or scaler that points to
// nothing is silent.
func TestChart_SelectorsFindPods(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		all := rendered(t, profile)
		var pods []map[string]any
		names := map[string]bool{}
		for _, d := range kind(all, "Deployment") {
			pods = append(pods, d.at("spec", "template", "metadata", "labels").(map[string]any))
			names[d.text("metadata", "name")] = true
		}
		for _, o := range all {
			require.NotEmpty(t, o.text("apiVersion"), o.String())
			require.NotEmpty(t, o.text("metadata", "name"))
			var selector map[string]any
			switch o.text("kind") {
			case "Service":
				selector, _ = o.at("spec", "selector").(map[string]any)
			case "PodDisruptionBudget":
				selector, _ = o.at("spec", "selector", "matchLabels").(map[string]any)
			case "NetworkPolicy":
				selector, _ = o.at("spec", "podSelector", "matchLabels").(map[string]any)
			case "ScaledObject", "HorizontalPodAutoscaler":
				require.True(t, names[o.text("spec", "scaleTargetRef", "name")], "%s: %s scales nothing", profile, o)
				continue
			default:
				continue
			}
			require.NotEmpty(t, selector, o.String())
			require.True(t, slices.ContainsFunc(pods, func(labels map[string]any) bool { return within(labels, selector) }), "%s: %s finds no pod", profile, o)
		}
		for _, m := range kind(all, "ServiceMonitor") {
			selector := m.at("spec", "selector", "matchLabels").(map[string]any)
			found := slices.DeleteFunc(kind(all, "Service"), func(s object) bool {
				labels, _ := s.at("metadata", "labels").(map[string]any)
				return !within(labels, selector)
			})
			require.Len(t, found, len(names), "%s: the admin port of each is scraped", profile)
		}
	}
}

func within(labels, selector map[string]any) bool {
	for key, v := range selector {
		if labels[key] != v {
			return false
		}
	}
	return true
}

// TestChart_ScaledIsNotFixed: a Deployment that is scaled and has a number of its own
// is set back at every upgrade.
func TestChart_ScaledIsNotFixed(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		all := rendered(t, profile)
		scaled := map[string]bool{}
		for _, o := range kind(all, "ScaledObject", "HorizontalPodAutoscaler") {
			scaled[o.text("spec", "scaleTargetRef", "name")] = true
		}
		if profile == "ha" {
			require.Len(t, scaled, 3, "api, and the workers that have a gauge")
		}
		for _, d := range kind(all, "Deployment") {
			fixed := d.at("spec", "replicas") != nil
			require.NotEqual(t, fixed, scaled[d.text("metadata", "name")], "%s: %s", profile, d)
		}
	}
}
