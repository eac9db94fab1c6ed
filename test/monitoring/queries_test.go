package monitoring

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/metrics"
)

const root = "../.."

// ofPrometheus are series that nobody of ours shows.
var ofPrometheus = map[string][]string{
	"ALERTS":                        {"alertname", "alertstate", "severity"},
	"process_cpu_seconds_total":     nil,
	"process_resident_memory_bytes": nil,
	"process_start_time_seconds":    nil,
}

// ofTargets are the labels that a scrape adds.
var ofTargets = []string{"namespace", "job", "instance"}

// known is what is known of a series.
type known struct {
	metrics.Metric
	labels map[string]metrics.Label
	bucket bool
}

func series(t *testing.T) map[string]known {
	all := map[string]known{}
	for _, m := range metrics.All() {
		k := known{Metric: m, labels: map[string]metrics.Label{}}
		for _, l := range m.Labels {
			k.labels[l.PrometheusLabel()] = l
		}
		if m.Kind != metrics.Spread {
			all[m.Prometheus()] = k
			continue
		}
		all[m.Prometheus()+"_count"], all[m.Prometheus()+"_sum"] = k, k
		k.bucket = true
		all[m.Prometheus()+"_bucket"] = k
	}
	for name, labels := range ofPrometheus {
		k := known{labels: map[string]metrics.Label{}}
		for _, l := range labels {
			k.labels[l] = metrics.Label{Key: l}
		}
		all[name] = k
	}
	rules, err := Rules(root)
	require.NoError(t, err)
	for _, r := range rules {
		if r.Record != "" {
			all[r.Record] = known{labels: map[string]metrics.Label{"slo": {Key: "slo"}}}
		}
	}
	return all
}

func queries(t *testing.T) []Query {
	all, err := Queries(root)
	require.NoError(t, err)
	require.Greater(t, len(all), 100)
	return all
}

// TestQueries_AskForWhatExists: a metric that was renamed, a label that it has not, or
// a value that never comes shows an empty panel, and an alert that never fires.
func TestQueries_AskForWhatExists(t *testing.T) {
	t.Parallel()
	table := series(t)
	for _, q := range queries(t) {
		for _, fault := range faults(table, q.Expr) {
			t.Errorf("%s: %s\n\t%s", q.Where, fault, q.Expr)
		}
	}
}

// TestFaults_AreFound: the comparison above sees what it is for.
func TestFaults_AreFound(t *testing.T) {
	t.Parallel()
	table := series(t)
	for expr, want := range map[string]string{
		`sum(rate(writeback_attempt_total[5m]))`:                                                          "no metric is called writeback_attempt_total",
		`sum(rate(writeback_attempts_total{tsp="x"}[5m]))`:                                                "has no label tsp",
		`sum(rate(writeback_attempts_total{outcome="timeout"}[5m]))`:                                      `outcome is never "timeout"`,
		`sum(rate(writeback_attempts_total{outcome=~"time.*|late"}[5m]))`:                                 "never",
		`sum by (operation_id) (rate(writeback_attempts_total[5m]))`:                                      "groups by operation_id",
		`sum(writeback_attempts_total)`:                                                                   "rate or increase",
		`sum(rate(writeback_attempt_duration_seconds[5m]))`:                                               "no metric is called",
		`sum(rate(writeback_slots[5m]))`:                                                                  "is no counter",
		`sum(writeback_due_lanes)`:                                                                        "every worker shows the same",
		`sum(rate(writeback_first_attempt_delay_seconds_bucket{le="3"}[5m]))`:                             "le",
		`sum(rate(writeback_operation_duration_seconds_bucket{le="300"}[5m]))`:                            "le",
		`histogram_quantile(0.9, sum(rate(writeback_operation_duration_seconds_bucket[5m])))`:             "by le",
		`histogram_quantile(0.9, sum by (le) (rate(writeback_operation_duration_seconds_sum[5m])))`:       "buckets",
		`sum(rate(http_server_request_duration_seconds_count{http_route=~"/v2/telematics/users/x"}[5m]))`: "",
	} {
		found := faults(table, expr)
		if want == "" {
			require.Empty(t, found, expr)
			continue
		}
		require.Contains(t, strings.Join(found, "; "), want, expr)
	}
}

// faults are what is wrong with an expression.
func faults(table map[string]known, expr string) (out []string) {
	selectors, grouped := Parse(expr)
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	labels := append([]string{"le"}, ofTargets...)
	for _, s := range selectors {
		k, ok := table[s.Metric]
		if !ok {
			wrong("no metric is called %s", s.Metric)
			continue
		}
		for name := range k.labels {
			labels = append(labels, name)
		}
		for _, m := range s.Matchers {
			if fault := k.faultOf(m); fault != "" {
				wrong("%s: %s", s.Metric, fault)
			}
		}
		if fault := k.misused(s, strings.Contains(expr, "process_start_time_seconds")); fault != "" {
			wrong("%s: %s", s.Metric, fault)
		}
		if strings.Contains(expr, "histogram_quantile") && !k.bucket {
			wrong("%s: quantiles are of buckets", s.Metric)
		}
	}
	for _, label := range grouped {
		if !slices.Contains(labels, label) {
			wrong("it groups by %s, which nothing has", label)
		}
	}
	if strings.Contains(expr, "histogram_quantile") && !slices.Contains(grouped, "le") {
		wrong("quantiles need sums by le")
	}
	return out
}

// misused says how a series must not be used. Of a process that is young, a counter is
// what it has counted.
func (k known) misused(s Selector, young bool) string {
	counts := k.Kind == metrics.Count || k.Kind == metrics.Spread
	overTime := s.In == "rate" || s.In == "increase"
	whether := s.In == "count" // only whether it is there
	switch {
	case counts && !overTime && !whether && !young, overTime && !s.Ranged:
		return "a counter is asked for its rate or increase"
	case overTime && !counts && k.Kind != "":
		return "it is no counter"
	case k.Sampled && s.In == "sum":
		return "every worker shows the same: take the maximum"
	}
	return ""
}

// faultOf says why no series can meet a matcher.
func (k known) faultOf(m Matcher) string {
	if slices.Contains(ofTargets, m.Label) {
		return ""
	}
	if m.Label == "le" && k.bucket {
		return k.boundOf(m)
	}
	l, ok := k.labels[m.Label]
	if !ok {
		return "it has no label " + m.Label
	}
	meets := func(value string) bool { return m.Value == value }
	if strings.HasSuffix(m.Op, "~") {
		re, err := regexp.Compile("^(?:" + strings.ReplaceAll(m.Value, `\\`, `\`) + ")$")
		if err != nil {
			return err.Error()
		}
		meets = re.MatchString
	}
	if l.Values == nil || m.Value == "" || slices.ContainsFunc(l.Values, meets) {
		return ""
	}
	return fmt.Sprintf("%s is never %q", m.Label, m.Value)
}

// boundOf wants the bound in both of its forms, of text and of OpenMetrics: 5 and 5.0.
func (k known) boundOf(m Matcher) string {
	if m.Value == "+Inf" {
		return ""
	}
	re, err := regexp.Compile("^(?:" + m.Value + ")$")
	if err != nil || m.Op == "=" {
		re = regexp.MustCompile("^" + regexp.QuoteMeta(m.Value) + "$")
	}
	for _, bound := range k.Buckets {
		short := strconv.FormatFloat(bound, 'f', -1, 64)
		long := short
		if !strings.Contains(short, ".") {
			long += ".0"
		}
		if re.MatchString(short) && re.MatchString(long) {
			return ""
		}
	}
	return fmt.Sprintf("le%s%q is no bound, or not in both of its forms", m.Op, m.Value)
}
