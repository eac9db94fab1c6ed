package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"writeback/internal/config"
)

var update = flag.Bool("update", false, "write the generated page anew")

const page = "../../docs/cli.md"

const intro = `<!-- Made by ` + "`make generate`" + ` from the commands of cmd/writeback. Do not edit. -->
# The writeback command

` + "`bin/writeback`" + ` (from ` + "`make build`" + `) checks what Writeback stands on, looks into Redis and NATS, and intervenes. It talks to them directly, by the
variables of api and worker ([configuration.md](configuration.md)), so it works while those are down. It prints no credential, and what partners
wrote only with ` + "`--payload`" + `.

- **Where operation commands go.** With ` + "`WRITEBACK_API_URL`" + ` through the partner API, as the partner of ` + "`WRITEBACK_TOKEN`" + `, or of
  ` + "`WRITEBACK_CLIENT_ID`" + ` and ` + "`WRITEBACK_CLIENT_SECRET`" + ` at ` + "`WRITEBACK_TOKEN_URL`" + `. Without it to the store itself, for any partner.
- **For ` + "`make dev`" + `.** Its first lines name a file that makes the command look at that stack: ` + "`bin/writeback --config FILE lane list`" + `.
- **Output.** Tables for people, on standard output. ` + "`--json`" + ` prints JSON whose names stay; a list is a list, empty if there is nothing. Progress
  goes to standard error, from one second on.
- **Exit codes.** 0 done, 1 failed, 2 wrong usage. ` + "`doctor`" + `: 0 all is well, 1 warnings, 2 something fails. ` + "`loadtest`" + `: 1 also if an accepted
  operation was lost.
- **Completion.** ` + "`source <(writeback completion bash)`" + `, likewise zsh, fish and powershell; connections complete too.

Every command takes these:

`

// TestPage_IsWhatTheCommandsSay makes docs/cli.md from the commands and compares.
func TestPage_IsWhatTheCommandsSay(t *testing.T) {
	t.Parallel()
	c := &ctl{sources: config.Sources{Flags: map[string]string{}}}
	root := c.root()
	var b strings.Builder
	b.WriteString(intro)
	flags(&b, root.PersistentFlags())
	each(root, func(cmd *cobra.Command) {
		fmt.Fprintf(&b, "\n## %s\n%s\n\n    %s\n", cmd.CommandPath(), paragraphs(cmd.Long), strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		if cmd.LocalNonPersistentFlags().HasAvailableFlags() {
			b.WriteString("\n")
			flags(&b, cmd.LocalNonPersistentFlags())
		}
		fmt.Fprintf(&b, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimSpace(cmd.Example), "\n  ", "\n"))
	})
	text := b.String()
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(text), 0o600))
	}
	have, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, text, string(have), "docs/cli.md is stale: run `make generate`")
}

func paragraphs(long string) string {
	parts := strings.Split(long, "\n\n")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], "\n", " ")
	}
	return strings.Join(parts, "\n\n")
}

// each passes on the commands that do something, in the order of the help.
func each(cmd *cobra.Command, pass func(*cobra.Command)) {
	for _, child := range cmd.Commands() {
		if child.HasSubCommands() {
			each(child, pass)
		} else {
			pass(child)
		}
	}
}

func flags(b *strings.Builder, set *pflag.FlagSet) {
	b.WriteString("| flag | default | meaning |\n|---|---|---|\n")
	set.VisitAll(func(f *pflag.Flag) {
		byDefault := "–"
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0s" {
			byDefault = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(b, "| `--%s` | %s | %s |\n", f.Name, byDefault, f.Usage)
	})
}

// TestHelp_EveryCommandHasAnExample: and a line, and no two the same.
func TestHelp_EveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	c := &ctl{sources: config.Sources{Flags: map[string]string{}}}
	n := 0
	each(c.root(), func(cmd *cobra.Command) {
		n++
		require.Contains(t, cmd.Example, cmd.CommandPath(), cmd.CommandPath())
		require.NotEmpty(t, cmd.Short)
		var out bytes.Buffer
		require.Equal(t, 0, run(t.Context(), append(strings.Fields(cmd.CommandPath())[1:], "--help"), nil, &out, &out))
		require.Contains(t, out.String(), "Examples:")
	})
	require.Greater(t, n, 20)
}
