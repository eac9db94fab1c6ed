package metrics

//go:generate go test -run TestPage_IsUpToDate . -args -update

import (
	"fmt"
	"strings"
)

const preface = `# Metrics

This page is made from the table in ` + "`internal/metrics/catalogue.go`" + `, as the instruments are. Do not edit it:
` + "`make generate`" + ` writes it.

Every program shows its metrics to Prometheus on the admin port (` + "`/metrics`" + `, OpenMetrics with exemplars for those who ask for it) and sends them over
OTLP if ` + "`OTEL_METRICS_EXPORTER`" + ` or an OTLP endpoint is set. Units are UCUM. Every label has a closed set of values; what is
outside of it is shown as ` + "`" + Other + "`" + `. No label holds an id, a name or an address.

- A **counter**, an **up-down counter** and a **histogram** count in one process: add them up over processes (` + "`sum`" + `).
- A gauge with **max** is read by each worker from the store every 5 s, and is the same for all: take ` + "`max`" + `, not ` + "`sum`" + `. It is absent while the store is away.
- A gauge with **sum** is of one process.
- A histogram has the series ` + "`_bucket`, `_sum` and `_count`" + `; its exemplars have ` + "`trace_id`" + `.
- Counters with few combinations of labels (48 at most) are shown as 0 from the start; the others appear with their first event.

Besides, the admin port shows ` + "`target_info`" + ` (the resource), and ` + "`go_*` and `process_*`" + ` of the Prometheus client.
`

// Page gives docs/metrics.md.
func Page() string {
	var b strings.Builder
	b.WriteString(preface)
	group := ""
	for _, m := range table {
		if g := groupOf(m); g != group {
			group = g
			fmt.Fprintf(&b, "\n## %s\n\n| Prometheus | OpenTelemetry | kind | unit | labels | in | what it is | the question it answers |\n|---|---|---|---|---|---|---|---|\n", g)
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | `%s` | %s | %s | %s | %s |\n",
			m.Prometheus(), m.Name, kindOf(m), m.Unit, labelsOf(m), m.In, m.About+rarely(m), m.Answers)
	}
	b.WriteString("\n## Labels\n\n| label | in Prometheus | values |\n|---|---|---|\n")
	seen := map[string]bool{}
	for _, m := range table {
		for _, l := range m.Labels {
			row := fmt.Sprintf("| `%s` | `%s` | %s |\n", l.Key, l.PrometheusLabel(), valuesOf(l))
			if !seen[row] {
				seen[row] = true
				b.WriteString(row)
			}
		}
	}
	return b.String()
}

// groups are the headings, by the beginning of a metric's name; the first that fits.
var groups = []struct{ prefix, heading string }{
	{"http.", "HTTP"},
	{"messaging.", "Messaging"},
	{"go.", "Runtime"},
	{"writeback.webhook.", "Webhooks"},
	{"writeback.sync.", "Directory sync"},
	{"writeback.provider.", "Providers and their limits"},
	{string(Accepted), "What comes in"},
	{string(BatchUpdates), "What comes in"},
	{string(Replays), "What comes in"},
	{string(TokensRejected), "What comes in"},
	{"writeback.attempt", "The trip of an operation"},
	{string(FirstAttemptDelay), "The trip of an operation"},
	{string(Handovers), "The trip of an operation"},
	{string(Ended), "The trip of an operation"},
	{string(OperationDuration), "The trip of an operation"},
	{string(Pending), "What waits"},
	{string(OldestAge), "What waits"},
	{string(Generations), "Repairs"},
	{"writeback.rebuild", "Repairs"},
	{string(Repairs), "Repairs"},
	{string(DeadLetters), "Repairs"},
	{"", "The machinery"},
}

func groupOf(m Metric) string {
	for _, g := range groups {
		if strings.HasPrefix(string(m.Name), g.prefix) {
			return g.heading
		}
	}
	return ""
}

func rarely(m Metric) string {
	if m.Rare {
		return " Absent until it happens."
	}
	return ""
}

func kindOf(m Metric) string {
	switch {
	case m.Kind == Level && m.Sampled:
		return "gauge, max"
	case m.Kind == Level:
		return "gauge, sum"
	}
	return string(m.Kind)
}

func labelsOf(m Metric) string {
	names := make([]string, len(m.Labels))
	for i, l := range m.Labels {
		names[i] = "`" + l.PrometheusLabel() + "`"
	}
	return strings.Join(names, ", ")
}

func valuesOf(l Label) string {
	if l.Elsewhere != "" {
		return l.Elsewhere
	}
	var b strings.Builder
	for i, v := range l.Values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("`" + v + "`")
	}
	if l.Set != "" {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(l.Set)
	}
	return b.String()
}
