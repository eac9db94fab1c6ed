package config

import (
	_ "embed" // the page around the table
	"fmt"
	"io"
	"slices"
	"strings"
)

//go:embed page.md
var page string

// Page writes docs/configuration.md: the table of every variable, in the text of
// page.md.
func Page(w io.Writer) error {
	var rows strings.Builder
	for _, v := range documented() {
		fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", v.name, v.shownDefault(), strings.Join(v.programs, ", "), v.meaning())
	}
	if _, err := io.WriteString(w, strings.Replace(page, "{{rows}}\n", rows.String(), 1)); err != nil {
		return fmt.Errorf("config: write page: %w", err)
	}
	return nil
}

// rowOf is a variable with the programs that read it.
type rowOf struct {
	variable
	programs []string
}

// documented gives every variable once, in the order of the structs.
func documented() []rowOf {
	var (
		rows []rowOf
		api  API
		work Worker
		box  Sandbox
		op   Operator
	)
	for _, p := range []struct {
		name string
		vars []variable
	}{
		{"api", variables(valueOf(&api))}, {"worker", variables(valueOf(&work))},
		{"writeback", variables(valueOf(&op))}, {"sandbox", variables(valueOf(&box))},
	} {
		for _, v := range p.vars {
			if v.provider {
				v.name, v.help = URLVariable("<name>"), "base URL of a provider; empty is its public API, or its place in the sandbox"
				v.more = "'WRITEBACK_SAMSARA_URL' and so on, by the 'source_name' in capitals; see [providers.md](providers.md)"
			}
			at := slices.IndexFunc(rows, func(r rowOf) bool { return r.name == v.name })
			if at < 0 {
				at = len(rows)
				rows = append(rows, rowOf{variable: v})
			}
			if !slices.Contains(rows[at].programs, p.name) {
				rows[at].programs = append(rows[at].programs, p.name)
			}
		}
	}
	return rows
}

func (r rowOf) shownDefault() string {
	switch {
	case slices.Contains(r.rules, "required"):
		return "required"
	case r.byDefault == "":
		return "–"
	default:
		return "`" + r.byDefault + "`"
	}
}

// meaning is the help and what the page has room for besides.
func (r rowOf) meaning() string {
	parts := []string{r.help}
	if r.more != "" {
		parts = append(parts, strings.ReplaceAll(r.more, "'", "`"))
	}
	switch r.production {
	case prodRequired:
		parts = append(parts, "**production:** required")
	case prodHTTPS:
		parts = append(parts, "**production:** https only")
	case prodOff:
		parts = append(parts, "**production:** refused")
	case prodRegistry:
		parts = append(parts, "**production:** credentials only as `${NAME}`")
	}
	if r.secret {
		parts = append(parts, "secret: no flag sets it")
	}
	return strings.Join(parts, "; ")
}
