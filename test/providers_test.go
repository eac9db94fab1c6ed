package test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/all"
)

var update = flag.Bool("update", false, "write the generated pages anew")

const providersPage = "../docs/providers.md"

// TestProvidersPage_IsWhatTheAdaptersSay makes docs/providers.md from the adapters'
// own tables and compares.
func TestProvidersPage_IsWhatTheAdaptersSay(t *testing.T) {
	t.Parallel()
	registry, err := all.Providers(all.Config{})
	require.NoError(t, err)
	page := providers(t, registry)
	if *update {
		require.NoError(t, os.WriteFile(providersPage, []byte(page), 0o600))
	}
	have, err := os.ReadFile(providersPage)
	require.NoError(t, err)
	require.Equal(t, page, string(have), "docs/providers.md is stale: run `make generate`")
}

// providers is the page: who can do what, then field by field, then the notes.
func providers(t *testing.T, registry *tsp.Registry) string {
	t.Helper()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("<!-- Made by `make generate` from the adapters' field tables. Do not edit. -->")
	line("# What each provider can be written\n")
	line("The same is in `write_support` of `GET /v2/integrations/tsps/{tsp_id}`. A write of a field that a provider cannot hold, and a `null`")
	line("that it cannot store, fail as `validation` before anything is sent; nothing is dropped silently.\n")
	var described []tsp.Description
	line("| provider | `source_name` | credential | variable of its base URL | published base URL |\n|---|---|---|---|---|")
	for _, name := range registry.Names() {
		p, _ := registry.Get(name)
		d, variable, host := p.Describe(), "", ""
		if at := all.Hosts()[name]; at != "" {
			variable, host = "`"+config.URLVariable(name)+"`", "`"+at+"`"
		}
		line("| %s | `%s` | %s | %s | %s |", d.Title, name, d.Access, variable, host)
	}
	line("\n| provider | update | create | needs |\n|---|---|---|---|")
	for _, name := range registry.Names() {
		p, ok := registry.Get(name)
		require.True(t, ok)
		d := p.Describe()
		described = append(described, d)
		_, creates := p.(tsp.Creator)
		require.Equal(t, creates, d.Create != nil, "%s: a creator says what it needs", name)
		if d.Create == nil {
			line("| %s | yes | no | |", name)
			continue
		}
		line("| %s | yes | yes | %s |", name, code(d.Create.Required))
	}
	line("\n## Fields")
	line("`yes`: can be written, and cleared with `null`. `set`: can be written, not cleared. `no`: the provider has no")
	line("place for it; a value that says nothing new to it may be taken all the same. `*`: see the notes.\n")
	matrix(line, described)
	line("")
	for _, d := range described {
		notes(line, d)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func matrix(line func(string, ...any), described []tsp.Description) {
	head, rule := "| field |", "|---|"
	for _, d := range described {
		head += " " + d.Name + " |"
		rule += "---|"
	}
	line("%s\n%s", head, rule)
	for _, spec := range operation.UserFields {
		row := "| `" + string(spec.Name) + "` |"
		for _, d := range described {
			row += " " + support(d.Users.Rule(spec.Name)) + " |"
		}
		line("%s", row)
	}
}

func support(r tsp.Rule) string {
	word := "no"
	switch {
	case r.Clearable():
		word = "yes"
	case r.Writable():
		word = "set"
	}
	if r.Note != "" {
		word += " *"
	}
	return word
}

func notes(line func(string, ...any), d tsp.Description) {
	line("## %s", d.Name)
	limits := d.Limits.WithDefaults()
	rate := "no rate limit"
	if limits.PerSecond > 0 {
		rate = fmt.Sprintf("%.3g a second, %d at once", limits.PerSecond, limits.Burst)
	}
	line("Each connection: %d calls in flight, %s, %g s for one call. A connection may have its own limits.", limits.InFlight, rate, limits.Call.Seconds())
	line("")
	var items []string
	if d.Create != nil && d.Create.Note != "" {
		items = append(items, "- create: "+sentence(d.Create.Note))
	}
	for _, spec := range operation.UserFields {
		if note := d.Users.Rule(spec.Name).Note; note != "" {
			items = append(items, fmt.Sprintf("- `%s`: %s", spec.Name, sentence(note)))
		}
	}
	if len(items) > 0 {
		line("%s\n", strings.Join(items, "\n"))
	}
}

// sentence ends a note, and keeps it one line of a list.
func sentence(note string) string {
	note = strings.Join(strings.Fields(note), " ")
	return strings.TrimSuffix(note, ".") + "."
}

func code(fields []operation.Field) string {
	out := make([]string, 0, len(fields))
	for _, f := range fields {
		out = append(out, "`"+string(f)+"`")
	}
	return strings.Join(out, ", ")
}
