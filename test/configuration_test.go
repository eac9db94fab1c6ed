package test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
)

// TestConfigurationPage_HasEveryVariable compares docs/configuration.md with what
// the programs say of themselves.
func TestConfigurationPage_HasEveryVariable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/configuration.md")
	require.NoError(t, err)
	rows := map[string]struct{ byDefault, programs string }{}
	row := regexp.MustCompile("(?m)^\\| `(WRITEBACK_[A-Z_]+)` \\| ([^|]+) \\| ([^|]+) \\| [^|]+ \\|$")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		rows[m[1]] = struct{ byDefault, programs string }{strings.Trim(m[2], "`"), m[3]}
	}
	seen := map[string]bool{}
	for program, usage := range map[string]func(*bytes.Buffer) error{
		"api":     func(b *bytes.Buffer) error { return config.Usage[config.API](b) },
		"worker":  func(b *bytes.Buffer) error { return config.Usage[config.Worker](b) },
		"sandbox": func(b *bytes.Buffer) error { return config.Usage[config.Sandbox](b) },
	} {
		var text bytes.Buffer
		require.NoError(t, usage(&text))
		for line := range strings.Lines(text.String()) {
			column := regexp.MustCompile(`\s{2,}`).Split(line, 3)
			if !strings.HasPrefix(line, "WRITEBACK_") || len(column) < 3 {
				continue
			}
			name, byDefault := column[0], column[1]
			seen[name] = true
			r, ok := rows[name]
			if !ok {
				t.Errorf("docs/configuration.md has no row for %s", name)
				continue
			}
			if r.programs != "all" && !strings.Contains(r.programs, program) {
				t.Errorf("docs/configuration.md does not say that %s is for %s", name, program)
			}
			if byDefault != "-" && byDefault != "(required)" && r.byDefault != byDefault {
				t.Errorf("docs/configuration.md: default of %s is %s, not %s", name, byDefault, r.byDefault)
			}
		}
	}
	require.NotEmpty(t, seen)
	for name := range rows {
		if !seen[name] {
			t.Errorf("docs/configuration.md has %s, which no program knows", name)
		}
	}
}
