package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"writeback/internal/devstack"
	"writeback/test/monitoring"
)

// notInADemo are the series that dashboards and rules ask for and a demo does not
// show, with the reason.
var notInADemo = map[string]string{
	"writeback_provider_limit_remaining":       "it is there while a connection with a rate has work",
	"writeback_provider_backoff_seconds_count": "no provider of the demo asks to be left alone",
}

// TestTell_ShowsWhatDashboardsAskFor: after the stories, a scrape has every series that
// a dashboard or a rule names, but for a few by name.
func TestTell_ShowsWhatDashboardsAskFor(t *testing.T) {
	stack, err := devstack.Start(t.Context(), devstack.Options{
		APIAddr: freePort, AdminAddr: freePort, SandboxAddr: freePort, Redis: devstack.RedisMemory,
	})
	require.NoError(t, err)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), stopTimeout)
		defer cancel()
		require.NoError(t, stack.Stop(ctx))
	}()
	d := newDemo(stack, printer{out: io.Discard})
	defer d.close()
	require.NoError(t, d.tell(t.Context()))

	asked, recorded := asked(t)
	require.Greater(t, len(asked), 40)
	var lacking []string
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); <-time.After(500 * time.Millisecond) {
		shown := scrape(t, stack.URLs().Admin)
		lacking = nil
		for series, where := range asked {
			if !shown[series] && !recorded[series] && notInADemo[series] == "" {
				lacking = append(lacking, series+", for "+where)
			}
		}
		if len(lacking) == 0 {
			break
		}
	}
	require.Empty(t, lacking)
	for series := range notInADemo {
		require.NotEmpty(t, asked[series], "%s is excused and nobody asks for it", series)
	}
	objectives(t, stack.URLs().Admin)
}

// asked gives the series that are asked for with one who does, and those that rules
// and Prometheus itself make.
func asked(t *testing.T) (asked map[string]string, made map[string]bool) {
	const root = "../.."
	asked, made = map[string]string{}, map[string]bool{"ALERTS": true}
	queries, err := monitoring.Queries(root)
	require.NoError(t, err)
	for _, q := range queries {
		selectors, _ := monitoring.Parse(q.Expr)
		for _, s := range selectors {
			asked[s.Metric] = q.Where
		}
	}
	rules, err := monitoring.Rules(root)
	require.NoError(t, err)
	for _, r := range rules {
		if r.Record != "" {
			made[r.Record] = true
		}
	}
	return asked, made
}

// text scrapes as Prometheus would.
func text(t *testing.T, admin string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+"/metrics", nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

// scrape gives the names of the series that there are.
func scrape(t *testing.T, admin string) map[string]bool {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text(t, admin)))
	require.NoError(t, err)
	shown := map[string]bool{}
	for name, family := range families {
		if len(family.Metric) == 0 {
			continue
		}
		shown[name] = true
		if family.Metric[0].Histogram != nil {
			delete(shown, name)
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				shown[name+suffix] = true
			}
		}
	}
	return shown
}

// objectives: what counts as an event of an objective has happened in the demo. A route
// that has another name would leave the objective without events, and so without errors.
func objectives(t *testing.T, admin string) {
	t.Helper()
	lines := strings.Split(text(t, admin), "\n")
	rules, err := monitoring.Rules("../..")
	require.NoError(t, err)
	for _, r := range rules {
		if r.Record != "writeback:slo_events:rate5m" {
			continue
		}
		selectors, _ := monitoring.Parse(r.Expr)
		require.NotEmpty(t, selectors)
		for _, s := range selectors {
			require.True(t, anyMatches(t, lines, s), "the demo has no event of %s: %s", r.Labels["slo"], s.Metric)
		}
	}
}

func anyMatches(t *testing.T, lines []string, s monitoring.Selector) bool {
	t.Helper()
	for _, line := range lines {
		if !strings.HasPrefix(line, s.Metric+"{") && !strings.HasPrefix(line, s.Metric+" ") {
			continue
		}
		matches := true
		for _, m := range s.Matchers {
			value := m.Value
			if m.Op == "=" {
				value = regexp.QuoteMeta(value)
			}
			found, err := regexp.MatchString(fmt.Sprintf(`[{,]%s="(%s)"`, m.Label, value), line)
			require.NoError(t, err)
			matches = matches && found
		}
		if matches {
			return true
		}
	}
	return false
}
