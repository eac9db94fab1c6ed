package telemetry

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	dto "github.com/prometheus/client_model/go"

	"writeback/internal/metrics"
	"writeback/internal/sandbox"
	"writeback/internal/wire"
	"writeback/test/e2e/stack"
)

// ofLibraries are families that the programs show beside those of the table.
func ofLibraries(name string) bool {
	if name == "target_info" || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
		return true
	}
	for _, prefix := range []string{"go_gc_", "go_goroutines", "go_info", "go_memstats_", "go_sched_", "go_threads"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// scrape: the table and what the programs show are the same, names and labels, both ways.
func (r *rig) scrape() {
	// What has not happened yet.
	require.NoError(r.t, r.Fault(sandbox.Fault{Provider: sandbox.Samsara, User: sandbox.UserID(connection, 5), RetryAfter: "1", Status: 429, Count: 1}))
	op, _ := r.write(5, "", http.Header{"Idempotency-Key": {"telemetry-1"}})
	again, _ := r.write(5, "", http.Header{"Idempotency-Key": {"telemetry-1"}})
	require.Equal(r.t, op.ID, again.ID)
	r.ended(op.ID)
	r.ask(http.MethodGet, "/v2/telematics/users", "", http.Header{"Authorization": {"Bearer nonsense"}}, nil)
	r.ask("BREW", "/coffee", "", nil, nil)

	table := map[string]metrics.Metric{}
	for _, m := range metrics.All() {
		table[m.Prometheus()] = m
	}
	var seen map[string]bool
	missing := func() (names []string) {
		seen = map[string]bool{}
		for program, where := range map[metrics.Program]*stack.Process{metrics.API: r.APIs[0], metrics.Worker: r.Workers[0]} {
			for name, family := range r.families(where) {
				if !ofLibraries(name) {
					seen[name] = true
					r.check(program, table, name, family)
				}
			}
		}
		for name, m := range table {
			if !seen[name] && !m.Rare {
				names = append(names, name)
			}
		}
		return names
	}
	var lacking []string
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); <-time.After(time.Second) {
		if lacking = missing(); len(lacking) == 0 {
			break
		}
	}
	require.Empty(r.t, lacking, "they are in the table and not shown")
	require.True(r.t, seen["writeback_provider_backoff_seconds"])
}

// families scrapes a program in the text form.
func (r *rig) families(p *stack.Process) map[string]*dto.MetricFamily {
	r.t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	out, err := parser.TextToMetricFamilies(strings.NewReader(r.get(p.Admin+"/metrics", "")))
	require.NoError(r.t, err)
	return out
}

func (r *rig) get(url, accept string) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, url, nil)
	require.NoError(r.t, err)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return string(text)
}

var kinds = map[metrics.Kind]dto.MetricType{
	metrics.Count: dto.MetricType_COUNTER, metrics.Level: dto.MetricType_GAUGE, metrics.UpDown: dto.MetricType_GAUGE,
	metrics.Spread: dto.MetricType_HISTOGRAM,
}

// check compares one family with its line in the table.
func (r *rig) check(program metrics.Program, table map[string]metrics.Metric, name string, family *dto.MetricFamily) {
	r.t.Helper()
	m, ok := table[name]
	require.True(r.t, ok, "%s is not in the table", name)
	require.Equal(r.t, kinds[m.Kind], family.GetType(), name)
	require.True(r.t, m.In == metrics.Both || m.In == program, "%s is shown by the %s", name, program)
	labels := map[string]metrics.Label{}
	for _, l := range m.Labels {
		labels[l.PrometheusLabel()] = l
	}
	for _, one := range family.Metric {
		for _, pair := range one.Label {
			l, ok := labels[pair.GetName()]
			require.True(r.t, ok, "%s has the label %s", name, pair.GetName())
			require.True(r.t, l.Allows(pair.GetValue()), "%s{%s=%q}", name, pair.GetName(), pair.GetValue())
			if l.Key == "http.route" {
				require.Contains(r.t, routes(), pair.GetValue())
			}
		}
	}
}

func routes() []string {
	out := []string{"unmatched", "/openapi.json", "/docs"}
	for _, route := range wire.Routes() {
		out = append(out, route.Path)
	}
	return out
}

// overOTLP: metrics and logs go the same way as spans, with their traces.
func (r *rig) overOTLP() {
	op, trace := r.write(6, "", nil)
	r.ended(op.ID)
	c := r.collector
	require.Eventually(r.t, func() bool {
		found := map[string]bool{}
		for _, l := range c.Records() {
			if l.TraceID() == trace {
				found[l.Service+" "+l.Body.GetStringValue()] = true
			}
		}
		sent := c.Metrics()
		return found["writeback-api request"] && found["writeback-worker attempt"] &&
			slices.Contains(sent, string(metrics.Attempts)) && slices.Contains(sent, string(metrics.Accepted))
	}, 60*time.Second, 100*time.Millisecond)
	require.Empty(r.t, c.Faults())
	known := map[string]bool{}
	for _, m := range metrics.All() {
		known[string(m.Name)] = true
	}
	for _, name := range c.Metrics() {
		require.True(r.t, known[name], "%s is not in the table", name)
	}
	r.nothingSecret()
	require.Contains(r.t, r.get(r.Workers[0].Admin+"/metrics", "application/openmetrics-text; version=1.0.0"),
		`trace_id="`+trace+`"`, "the last attempt is an exemplar")
}
