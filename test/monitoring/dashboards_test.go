package monitoring

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDashboards_AreReadable: who has never seen the service is told by each panel what
// it answers, and comes from it to traces.
func TestDashboards_AreReadable(t *testing.T) {
	t.Parallel()
	dashboards, err := Dashboards(root)
	require.NoError(t, err)
	require.Len(t, dashboards, 5)
	uids := map[string]bool{}
	for _, d := range dashboards {
		require.Equal(t, "writeback-"+strings.TrimSuffix(d.File, ".json"), d.UID)
		require.False(t, uids[d.UID], d.UID)
		uids[d.UID] = true
		require.NotEmpty(t, d.Description, d.File)
		require.Contains(t, d.Tags, "writeback", d.File)
		variables := map[string]string{}
		for _, v := range d.Templating.List {
			variables[v.Name] = v.Type
		}
		require.Equal(t, map[string]string{"metrics": "datasource", "traces": "datasource", "namespace": "query", "job": "query", "instance": "query"}, variables, d.File)
		require.Equal(t, "row", d.Panels[0].Type, "%s: the first row says what it answers", d.File)
		titles := map[string]bool{}
		for _, p := range d.Panels {
			where := d.File + ": " + p.Title
			require.True(t, strings.HasSuffix(p.Title, "?"), "%s is no question", where)
			require.False(t, titles[p.Title] && p.Type != "row", "%s is there twice", where)
			titles[p.Title] = true
			if p.Type != "row" {
				readable(t, where, p)
			}
		}
		require.LessOrEqual(t, len(d.Panels), 20, "%s: nobody reads so many", d.File)
	}
	require.True(t, uids["writeback-partners"])
}

// TestDashboards_SayWhatNothingMeans: a panel that is empty where all is well says so. Who
// reads "no data" looks for what is broken.
func TestDashboards_SayWhatNothingMeans(t *testing.T) {
	t.Parallel()
	dashboards, err := Dashboards(root)
	require.NoError(t, err)
	table, found := series(t), 0
	for _, d := range dashboards {
		for _, p := range d.Panels {
			if p.Type == "row" || !slices.ContainsFunc(p.Targets, func(one Target) bool { return mayBeEmpty(table, one.Expr) }) {
				continue
			}
			found++
			require.NotContains(t, []string{"", "no data"}, p.FieldConfig.Defaults.NoValue, "%s: %s", d.File, p.Title)
		}
	}
	require.Greater(t, found, 10)
}

// filtered is an expression that shows only what is above a number.
var filtered = regexp.MustCompile(`> [0-9.]+\)*$`)

// mayBeEmpty reports an expression that shows nothing where all is well: only what is above a
// number, or what is rare, or what has failed.
func mayBeEmpty(table map[string]known, expr string) bool {
	selectors, _ := Parse(expr)
	return filtered.MatchString(expr) || slices.ContainsFunc(selectors, func(s Selector) bool {
		return table[s.Metric].Rare || slices.Contains(s.Matchers, Matcher{"error_type", "!=", ""})
	})
}

var traceLink = regexp.MustCompile(`^/explore\?.*\$\{traces\}.*traceql`)

func readable(t *testing.T, where string, p Panel) {
	t.Helper()
	require.NotEmpty(t, p.Description, where)
	require.NotEmpty(t, p.FieldConfig.Defaults.Unit, where)
	require.NotEmpty(t, p.Targets, where)
	require.NotEmpty(t, p.FieldConfig.Defaults.Links, "%s leads to no trace", where)
	for _, l := range p.FieldConfig.Defaults.Links {
		require.Regexp(t, traceLink, l.URL, where)
		require.NotEmpty(t, l.Title, where)
	}
	exemplars, quantiles := false, false
	for _, target := range p.Targets {
		exemplars = exemplars || target.Exemplar
		quantiles = quantiles || strings.Contains(target.Expr, "histogram_quantile")
		if !strings.Contains(target.Expr, "writeback:") && !strings.Contains(target.Expr, "ALERTS") {
			for _, variable := range []string{`namespace=~"$namespace"`, `job=~"$job"`, `instance=~"$instance"`} {
				require.Contains(t, target.Expr, variable, where)
			}
		}
	}
	require.Equal(t, quantiles, exemplars, "%s: quantiles, and only they, show exemplars", where)
}
