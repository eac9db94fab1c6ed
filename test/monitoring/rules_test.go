package monitoring

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// promtool runs it, or skips where it is missing. In CI it must be there.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("promtool is missing; scripts/ensure-test-tools installs it")
		}
		t.Skip("SKIPPED, promtool is missing: rules and queries were not judged; scripts/ensure-test-tools installs it")
	}
	out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput()
	require.NoError(t, err, "promtool %s\n%s", strings.Join(args, " "), out)
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(root, "deploy/prometheus", pattern))
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

func TestRules_AreWellFormed(t *testing.T) {
	t.Parallel()
	promtool(t, append([]string{"check", "rules"}, files(t, "*.yaml")...)...)
}

func TestRules_FireWhenTheyShould(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it plays hours of many alerts")
	}
	for _, file := range files(t, "tests/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			promtool(t, "test", "rules", file)
		})
	}
}

// TestDashboards_AreWellFormed has promtool read each query as if it were a rule.
func TestDashboards_AreWellFormed(t *testing.T) {
	t.Parallel()
	dashboards, err := Dashboards(root)
	require.NoError(t, err)
	var rules []map[string]string
	for _, d := range dashboards {
		for _, q := range d.Queries() {
			require.NotContains(t, Plain(q.Expr), "$", "%s: a variable that nobody sets", q.Where)
			rules = append(rules, map[string]string{"record": fmt.Sprintf("query:%d", len(rules)), "expr": Plain(q.Expr)})
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": rules}}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "queries.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	promtool(t, "check", "rules", file)
}

func alerts(t *testing.T) []Rule {
	t.Helper()
	rules, err := Rules(root)
	require.NoError(t, err)
	return slices.DeleteFunc(rules, func(r Rule) bool { return r.Alert == "" })
}

// TestAlerts_AreTested: of each alert and severity there is a time at which it fires
// and one at which it does not.
func TestAlerts_AreTested(t *testing.T) {
	t.Parallel()
	quiet, fires := map[string]bool{}, map[string]bool{}
	name := regexp.MustCompile(`alertname="(\w+)"`)
	severity := regexp.MustCompile(`severity="(\w+)"`)
	for _, file := range files(t, "tests/*.yaml") {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		var suite struct {
			Tests []struct {
				Exprs []struct {
					Expr    string
					Samples []struct{ Labels string } `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			}
		}
		require.NoError(t, yaml.Unmarshal(raw, &suite))
		for _, one := range suite.Tests {
			for _, e := range one.Exprs {
				alert := name.FindStringSubmatch(e.Expr)
				require.NotNil(t, alert, "%s: %s", file, e.Expr)
				if len(e.Samples) == 0 {
					quiet[alert[1]] = true
				}
				for _, s := range e.Samples {
					fires[alert[1]+" "+severity.FindStringSubmatch(s.Labels)[1]] = true
				}
			}
		}
	}
	for _, a := range alerts(t) {
		require.True(t, fires[a.Alert+" "+a.Labels["severity"]], "no test sees %s fire as %s", a.Alert, a.Labels["severity"])
		require.True(t, quiet[a.Alert], "no test sees %s be quiet", a.Alert)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(raw)
}

// sections are those of a page below headings of the second level, by heading.
func sections(page string) map[string]string {
	all := map[string]string{}
	for _, s := range strings.Split(page, "\n## ")[1:] {
		heading, text, _ := strings.Cut(s, "\n")
		all[heading] = text
	}
	return all
}

// TestAlerts_LeadToTheRunbook: whoever is called finds what to do, and no section tells
// of an alert that is gone.
func TestAlerts_LeadToTheRunbook(t *testing.T) {
	t.Parallel()
	runbook := sections(read(t, "docs/runbook.md"))
	seen := map[string]bool{}
	for _, a := range alerts(t) {
		require.Contains(t, []string{"critical", "warning"}, a.Labels["severity"], a.Alert)
		require.NotEmpty(t, a.Annotations["summary"], a.Alert)
		require.NotEmpty(t, a.Annotations["description"], a.Alert)
		require.NotEmpty(t, a.For, a.Alert)
		require.Equal(t, "docs/runbook.md#"+strings.ToLower(a.Alert), a.Annotations["runbook_url"])
		text, ok := runbook[a.Alert]
		require.True(t, ok, "docs/runbook.md has no section %s", a.Alert)
		for _, part := range []string{"**It means**", "**Partners notice**", "**Look first**", "**Do**", "**Do not**"} {
			require.Contains(t, text, part, "docs/runbook.md, section %s", a.Alert)
		}
		seen[a.Alert] = true
	}
	for heading := range runbook {
		require.True(t, seen[heading] || !strings.HasPrefix(heading, "Writeback"), "docs/runbook.md: no alert is called %s", heading)
	}
}

// TestRunbook_NamesWhatExists: commands as docs/cli.md has them, which is made from the
// commands; flags, metrics and links too.
func TestRunbook_NamesWhatExists(t *testing.T) {
	t.Parallel()
	runbook, cli := read(t, "docs/runbook.md")+read(t, "docs/slo.md"), read(t, "docs/cli.md")
	commands := regexp.MustCompile("(?m)(?:^    |`)writeback ([a-z]+(?: [a-z]+)?)([^\n`]*)").FindAllStringSubmatch(runbook, -1)
	require.Greater(t, len(commands), 40)
	bySection := sections(cli)
	for _, c := range commands {
		text, ok := bySection["writeback "+c[1]]
		if !ok {
			text, ok = bySection["writeback "+strings.Fields(c[1])[0]]
		}
		require.True(t, ok, "docs/cli.md has no `writeback %s`", c[1])
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(c[2], -1) {
			require.True(t, flag == "--json" || strings.Contains(text, "`"+flag+"`"), "`writeback %s` has no %s", c[1], flag)
		}
	}
	table := series(t)
	for _, name := range regexp.MustCompile("`(writeback_[a-z_]+|http_[a-z_]+)").FindAllStringSubmatch(runbook, -1) {
		_, ok := table[name[1]]
		_, histogram := table[name[1]+"_count"]
		require.True(t, ok || histogram, "no metric is called %s", name[1])
	}
}

// TestObjectives_AreWritten: each that is recorded, with its number, stands in
// docs/slo.md, next to an alert for it.
func TestObjectives_AreWritten(t *testing.T) {
	t.Parallel()
	rules, err := Rules(root)
	require.NoError(t, err)
	page := read(t, "docs/slo.md")
	budgets := map[string]string{}
	for _, r := range rules {
		if r.Record == "writeback:slo_budget:ratio" {
			budgets[r.Labels["slo"]] = strings.TrimSuffix(strings.TrimPrefix(r.Expr, "vector("), ")")
		}
	}
	require.Len(t, budgets, 5)
	objectives := map[string]string{"0.001": "99.9 %", "0.01": "99 %", "0.05": "95 %"}
	for slo, budget := range budgets {
		row := regexp.MustCompile("(?m)^\\| `" + slo + "` \\|.*$").FindString(page)
		require.Contains(t, row, "| "+objectives[budget]+" ", "docs/slo.md: %s", slo)
		found := 0
		for _, a := range alerts(t) {
			if strings.Contains(a.Expr, `slo="`+slo+`"`) {
				found++
				require.Contains(t, row, a.Alert)
				require.Len(t, regexp.MustCompile(`(> |\* )`+regexp.QuoteMeta(budget)+`\n`).FindAllString(a.Expr, -1), 4, "%s: not the budget of %s", a.Alert, slo)
			}
		}
		require.Equal(t, 2, found, "%s has a fast and a slow alert", slo)
	}
}
