package monitoring

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse_FindsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr    string
		want    []Selector
		grouped []string
	}{
		{"up", []Selector{{Metric: "up"}}, nil},
		{`max(a{b="c",d!~"e}|\"f"}) > 3.5`, []Selector{{Metric: "a", Matchers: []Matcher{{"b", "=", "c"}, {"d", "!~", `e}|\"f`}}, In: "max"}}, nil},
		{
			`histogram_quantile(0.95, sum by (le, x) (rate(a_bucket{le="+Inf"}[5m])))`,
			[]Selector{{Metric: "a_bucket", Matchers: []Matcher{{"le", "=", "+Inf"}}, Ranged: true, In: "rate"}}, []string{"le", "x"},
		},
		{`(sum(a) by (x)) / on (x) group_left (y) count(b)`, []Selector{{Metric: "a", In: "sum"}, {Metric: "b", In: "count"}}, []string{"x", "x", "y"}},
		{`a unless b and (c or 2 * d:e:f)`, []Selector{{Metric: "a"}, {Metric: "b"}, {Metric: "c"}, {Metric: "d:e:f"}}, nil},
		{`60 * sum_over_time(a{b="c"}[1h:1m])`, []Selector{{Metric: "a", Matchers: []Matcher{{"b", "=", "c"}}, Ranged: true, In: "sum_over_time"}}, nil},
		{`vector(1)`, nil, nil},
	} {
		selectors, grouped := Parse(c.expr)
		require.Equal(t, c.want, selectors, c.expr)
		require.Equal(t, c.grouped, grouped, c.expr)
	}
}
