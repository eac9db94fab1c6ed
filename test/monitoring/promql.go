package monitoring

import (
	"regexp"
	"slices"
	"strings"
)

// Matcher is one label's condition.
type Matcher struct{ Label, Op, Value string }

// Selector is one choice of series in an expression.
type Selector struct {
	Metric   string
	Matchers []Matcher
	// Ranged: it is over a window of time.
	Ranged bool
	// In is the innermost function or aggregation around it, or empty.
	In string
}

var (
	token   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:$][a-zA-Z0-9_:]*|[0-9][0-9.]*[a-z]*|\{[^"}]*(?:"(?:[^"\\]|\\.)*"[^"}]*)*\}|[()]|[^\s]`)
	word    = regexp.MustCompile(`^[a-zA-Z_:$][a-zA-Z0-9_:]*$`)
	matcher = regexp.MustCompile(`([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"`)
	// lists stand before a list of labels, joining between two expressions.
	lists   = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
	joining = []string{"and", "or", "unless", "offset", "bool"}
)

// Parse finds the selectors of a well-formed expression, and the labels by which it
// groups and joins.
func Parse(expr string) (selectors []Selector, grouped []string) {
	tokens := token.FindAllString(expr, -1)
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	var around []string // for each open parenthesis, what it belongs to
	owner := ""
	for i := 0; i < len(tokens); i++ {
		switch t := tokens[i]; {
		case t == "(":
			around, owner = append(around, owner), ""
		case t == ")":
			around = around[:max(len(around)-1, 0)]
		case slices.Contains(lists, t):
			if at(i+1) == "(" {
				for i += 2; at(i) != ")" && i < len(tokens); i++ {
					if word.MatchString(tokens[i]) {
						grouped = append(grouped, tokens[i])
					}
				}
			}
		case !word.MatchString(t) || slices.Contains(joining, t):
		case at(i+1) == "(" || slices.Contains(lists, at(i+1)):
			owner = t // of the parenthesis that follows
		default:
			s := Selector{Metric: t}
			if n := len(around); n > 0 {
				s.In = around[n-1]
			}
			if strings.HasPrefix(at(i+1), "{") {
				i++
				for _, m := range matcher.FindAllStringSubmatch(tokens[i], -1) {
					s.Matchers = append(s.Matchers, Matcher{m[1], m[2], m[3]})
				}
			}
			s.Ranged = strings.HasPrefix(at(i+1), "[")
			selectors = append(selectors, s)
		}
	}
	return selectors, grouped
}

// plain are Grafana's own words with what stands for them outside of Grafana.
var plain = strings.NewReplacer(
	"$__rate_interval", "5m", "$__range", "3h", `"$namespace"`, `".*"`, `"$job"`, `".*"`, `"$instance"`, `".*"`,
)

// Plain is an expression without what only Grafana understands.
func Plain(expr string) string { return plain.Replace(expr) }
