// Command writeback is the operator's tool: it checks what Writeback stands on, shows
// what the store and the streams hold, and makes the interventions that are safe at
// any time: pause a connection, cancel or retry an operation, have shards rebuilt
// from the streams, import the registry file, have users listed, seal secrets anew,
// publish dead letters again, put a bounded load on a development stack.
//
// It talks to NATS and Redis directly, by the same variables as api and worker, so
// it works while they are down; operation commands go through the partner API if
// WRITEBACK_API_URL is set. It prints no credential, and what a partner wrote only
// if asked with --payload.
package main

//go:generate go test -run TestPage_IsWhatTheCommandsSay . -args -update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"writeback/internal/config"
)

// Exit codes. doctor has its own meaning of 1 and 2: warnings, and failures.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// quiet keeps the Redis client's own lines out of the output: what matters is in the
// error.
type quiet struct{}

// Printf drops a line.
func (quiet) Printf(context.Context, string, ...any) {}

func main() {
	redis.SetLogger(quiet{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once: connecting takes no notice of the first
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError is a command that was not given right.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func wrongUsage(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// wrongIn says what is wrong with the use of a command. The program is named before it.
func wrongIn(cmd *cobra.Command, what string) error {
	_, path, _ := strings.Cut(cmd.CommandPath(), " ")
	return wrongUsage("%s", strings.TrimPrefix(path+what, ": "))
}

// codeError ends the program with a code; everything has been said.
type codeError int

func (e codeError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run gives the exit code: 0 for success, 1 for a failure, 2 for wrong usage.
func run(ctx context.Context, args, environ []string, out, errOut io.Writer) int {
	c := &ctl{sources: config.Sources{Environ: environ, Flags: map[string]string{}}, out: out, errOut: errOut}
	defer c.close()
	root := c.root()
	strictCompletion(root)
	strictHelp(root)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	var wrong *usageError
	var code codeError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintf(errOut, "writeback: %s; see --help\n", wrong.text)
		return exitUsage
	default:
		_, _ = fmt.Fprintf(errOut, "writeback: %s\n", err)
		return exitFailed
	}
}

const about = `Look into Writeback's store and streams, and intervene.

It reads the variables of api and worker: from a flag, else the environment, else
the file of --config. Exit codes: 0 done, 1 failed, 2 wrong usage; doctor: 0 all is
well, 1 warnings, 2 something fails.`

func (c *ctl) root() *cobra.Command {
	root := c.group("writeback", "Look into Writeback's store and streams, and intervene",
		c.doctorCommand(), c.operationCommands(), c.laneCommands(), c.connectionCommands(), c.usersCommands(),
		c.deadletterCommands(), c.webhookCommands(), c.shardsCommand(), c.rebuildCommand(), c.keysetCommands(), c.loadtestCommand(), c.waitCommand(), c.versionCommand())
	root.Long = about
	root.Version = config.Version()
	root.SetVersionTemplate("writeback {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return wrongIn(cmd, ": "+err.Error()) })
	flags := root.PersistentFlags()
	flags.BoolVar(&c.json, "json", false, "print JSON")
	flags.DurationVar(&c.timeout, "timeout", 0, "how long it may take (default: each command's own)")
	flags.StringVar(&c.sources.File, "config", "", "YAML file of variables; flags and environment win over it")
	for _, f := range config.Flags[config.Operator]() {
		flags.Var(setting{c.sources.Flags, f.Variable}, f.Name, f.Help+" ("+f.Variable+")")
	}
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml")
	return root
}

// setting is a flag that stands for a variable.
type setting struct {
	flags    map[string]string
	variable string
}

func (s setting) String() string         { return "" }
func (s setting) Type() string           { return "value" }
func (s setting) Set(value string) error { s.flags[s.variable] = value; return nil }

// group is a command that has only commands.
func (c *ctl) group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: noCommand}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(commands...)
	return cmd
}

// noCommand says what is wrong where one of a group's commands should stand.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return wrongIn(cmd, ": a command is missing")
	}
	text := fmt.Sprintf("no such command: %s", cmd.CommandPath()+" "+args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return wrongUsage("%s", text)
}

// strictCompletion refuses the names of other shells: cobra prints its help for them and ends
// with 0, and whoever sources that runs it.
func strictCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	if cmd, _, err := root.Find([]string{"completion"}); err == nil {
		cmd.Args, cmd.RunE = cobra.ArbitraryArgs, noCommand
		for _, shell := range cmd.Commands() {
			shell.Args = noArguments
		}
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return wrongIn(cmd, " takes "+takes(""))
	}
	return nil
}

// strictHelp refuses to explain what there is not: cobra explains the nearest that there is,
// and ends with 0.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	help.Run = nil
	help.RunE = func(_ *cobra.Command, args []string) error {
		cmd, rest, err := root.Find(args)
		switch {
		case err != nil:
			return wrongUsage("%s", err)
		case len(rest) > 0:
			return noCommand(cmd, rest)
		}
		cmd.InitDefaultHelpFlag()
		cmd.InitDefaultVersionFlag()
		return cmd.Help()
	}
}

// spec is one command.
type spec struct {
	// use names it and its arguments: <needed> and [may be left out].
	use, short, long, example string
	// timeout is how long it may take unless a flag says so. Zero is 30 s.
	timeout time.Duration
	// unconfigured: it reads the settings by itself, or needs none.
	unconfigured bool
	// first completes its first argument. Nil: nothing does.
	first cobra.CompletionFunc
	run   func(ctx context.Context, args []string) error
	flags func(f *pflag.FlagSet)
	// values complete flags by their names. The others have values that no shell knows.
	values map[string]cobra.CompletionFunc
}

// command makes one that is run with its settings read and its time bounded.
func (c *ctl) command(s spec) *cobra.Command {
	least := strings.Count(s.use, "<")
	most := least + strings.Count(s.use, "[")
	if s.timeout == 0 {
		s.timeout = 30 * time.Second
	}
	cmd := &cobra.Command{
		Use: s.use, Short: s.short, Long: strings.TrimSpace(s.short + ".\n\n" + s.long), Example: indent(s.example),
		ValidArgsFunction: s.first,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < least || len(args) > most {
				return wrongIn(cmd, " takes "+takes(s.use))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !s.unconfigured {
				if err := c.configure(); err != nil {
					return err
				}
			}
			if c.timeout == 0 {
				c.timeout = s.timeout
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), c.timeout, errTime)
			defer cancel()
			return s.run(ctx, args)
		},
	}
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	if s.flags != nil {
		s.flags(cmd.Flags())
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		complete := s.values[f.Name]
		if complete == nil {
			complete = cobra.NoFileCompletions
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // it exists, and is registered once
	})
	return cmd
}

var errTime = errors.New("no answer in time")

func takes(use string) string {
	if _, args, ok := strings.Cut(use, " "); ok {
		return args
	}
	return "no arguments"
}

func indent(lines string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n  ")
}

func (c *ctl) versionCommand() *cobra.Command {
	return c.command(spec{
		use: "version", short: "Print the version", example: "writeback version --json", unconfigured: true,
		run: func(context.Context, []string) error {
			return c.print(map[string]string{"version": config.Version()}, func(w io.Writer) {
				_, _ = fmt.Fprintln(w, "writeback", config.Version())
			})
		},
	})
}
