// Command writebackctl shows operators what the store and the streams hold, and
// makes the few interventions that are safe at any time: pause a connection, have
// shards rebuilt from the streams, load the registry file, have users listed, use a
// failed connection again, seal credentials anew.
//
// It talks to NATS and Redis directly, by the same variables as api and worker, so
// it works while they are down. It prints no credential, and what a partner wrote
// only if asked with -payload. It never changes an operation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"writeback/internal/config"
)

// command is one subcommand. words is how it is called, args what it takes.
type command struct {
	words, args, about string
	takes              int
	// fewer: it may be called with fewer.
	fewer bool
	// flags adds its own flags; nil: it has none.
	flags func(*options, *flag.FlagSet)
	run   func(ctx context.Context, c *ctl, args []string) error
}

var commands = []command{
	{words: "lane show", args: "<connection_id>", takes: 1, about: "what a connection's lane holds and waits for", run: laneShow},
	{words: "lane pause", args: "<connection_id>", takes: 1, about: "hand out no more calls; those under way finish", run: lanePause},
	{words: "lane resume", args: "<connection_id>", takes: 1, about: "hand out calls again", run: laneResume},
	{words: "operation show", args: "<connection_id> <operation_id>", takes: 2, about: "an operation, its attempts and why it waits", flags: payloadFlag, run: operationShow},
	{words: "shards", about: "every shard: generation, beat, due index, outbox, rebuild", run: shardsShow},
	{words: "rebuild", about: "have shards read again from the streams, and wait until they are", flags: rebuildFlags, run: rebuild},
	{words: "dead list", about: "messages that could not be understood, newest first", flags: limitFlag, run: deadList},
	{words: "dead show", args: "<seq>", takes: 1, about: "one of them", flags: payloadFlag, run: deadShow},
	{words: "registry load", args: "<file>", takes: 1, about: "bring the directory to what the registry file says", run: registryLoad},
	{words: "connection show", args: "<connection_id>", takes: 1, about: "a connection's status, and why it is failed", run: connectionShow},
	{words: "connection activate", args: "<connection_id>", takes: 1, about: "use a failed connection again, with the credentials that it has", run: connectionActivate},
	{words: "sync start", args: "<connection_id>|-all", takes: 1, fewer: true, about: "have a worker list the connection's users from its provider", flags: everyFlag, run: syncStart},
	{words: "sync show", args: "[connection_id]", takes: 1, fewer: true, about: "how far listing users is, and what it found", run: syncShow},
	{words: "credentials rotate", about: "seal every connection's credentials under the keyset's primary key", run: credentialsRotate},
	{words: "keyset create", args: "<file>", takes: 1, about: "a new keyset with one key", run: keysetCreate},
	{words: "keyset add", args: "<file>", takes: 1, about: "add a key that only opens: the first half of a change of keys", run: keysetAdd},
	{words: "keyset promote", args: "<file>", takes: 1, about: "seal with the newest key from now on: the second half", run: keysetPromote},
}

// options are the flags of all subcommands.
type options struct {
	json    bool
	timeout time.Duration
	payload bool
	limit   int
	shards  string
	all     bool
	yes     bool
}

func payloadFlag(o *options, f *flag.FlagSet) {
	f.BoolVar(&o.payload, "payload", false, "show the values too; they may be personal data")
}

func limitFlag(o *options, f *flag.FlagSet) {
	f.IntVar(&o.limit, "limit", 50, "how many to list at most")
}

func rebuildFlags(o *options, f *flag.FlagSet) {
	f.StringVar(&o.shards, "shard", "", "the shard, or several separated by commas")
	f.BoolVar(&o.all, "all", false, "all shards")
	f.BoolVar(&o.yes, "yes", false, "do it: writes to the shards are refused until they are back, which takes seconds to minutes")
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
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

// run gives the exit code: 0 for success, 1 for a failure, 2 for wrong usage.
func run(ctx context.Context, args, environ []string, out, errOut io.Writer) int {
	err := execute(ctx, args, environ, out, errOut)
	var wrong *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintf(errOut, "writebackctl: %s; see -help\n", wrong.text)
		return 2
	default:
		_, _ = fmt.Fprintf(errOut, "writebackctl: %s\n", err)
		return 1
	}
}

func execute(ctx context.Context, args, environ []string, out, errOut io.Writer) error {
	cmd, rest, err := find(args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			usage(errOut)
		}
		return err
	}
	c := &ctl{out: out, progress: errOut}
	words, err := parse(cmd, &c.options, rest, errOut)
	if err != nil {
		return err
	}
	if len(words) > cmd.takes || len(words) < cmd.takes && !cmd.fewer {
		return wrongUsage("%s takes %s", cmd.words, orNothing(cmd.args))
	}
	if c.settings, err = settings(environ); err != nil {
		return wrongUsage("environment: %s", err)
	}
	defer c.close()
	if cmd.words != "rebuild" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.timeout, errors.New("no answer in time"))
		defer cancel()
	}
	return cmd.run(ctx, c, words)
}

func orNothing(args string) string {
	if args == "" {
		return "no arguments"
	}
	return args
}

// find takes the subcommand's words off the front.
func find(args []string) (command, []string, error) {
	if len(args) == 0 {
		return command{}, nil, wrongUsage("a command is missing")
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		return command{}, nil, flag.ErrHelp
	case "-version", "--version", "version":
		return command{words: "version", run: func(_ context.Context, c *ctl, _ []string) error {
			return c.print(map[string]string{"version": config.Version()}, func(w io.Writer) { _, _ = fmt.Fprintln(w, "writebackctl", config.Version()) })
		}}, args[1:], nil
	}
	for _, cmd := range commands {
		words := strings.Fields(cmd.words)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == cmd.words {
			return cmd, args[len(words):], nil
		}
	}
	return command{}, nil, wrongUsage("no such command: %q", strings.Join(args[:min(2, len(args))], " "))
}

// parse reads flags before, between and after the arguments, which it gives.
func parse(cmd command, o *options, args []string, errOut io.Writer) ([]string, error) {
	f := flag.NewFlagSet(cmd.words, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.DurationVar(&o.timeout, "timeout", defaultTimeout(cmd), "how long it may take")
	if cmd.flags != nil {
		cmd.flags(o, f)
	}
	var words []string
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				_, _ = fmt.Fprintf(errOut, "writebackctl %s %s\n%s\n\nFlags:\n", cmd.words, cmd.args, cmd.about)
				f.SetOutput(errOut)
				f.PrintDefaults()
				return nil, err
			}
			return nil, wrongUsage("%s: %s", cmd.words, err)
		}
		if f.NArg() == 0 {
			return words, nil
		}
		words, args = append(words, f.Arg(0)), f.Args()[1:]
	}
}

func defaultTimeout(cmd command) time.Duration {
	if cmd.words == "rebuild" {
		return 10 * time.Minute
	}
	return 30 * time.Second
}

func usage(w io.Writer) {
	_, _ = fmt.Fprint(w, "writebackctl: look into Writeback's store and streams, and intervene\n\nUsage: writebackctl <command> [flags] [arguments]\n\n")
	for _, cmd := range commands {
		_, _ = fmt.Fprintf(w, "  %-48s %s\n", strings.TrimSpace(cmd.words+" "+cmd.args), cmd.about)
	}
	_, _ = fmt.Fprint(w, `
Every command takes -json and -timeout; <command> -help shows its own flags.
It reads WRITEBACK_REDIS_URL and WRITEBACK_NATS_URL; what opens the directory also
WRITEBACK_STREAM_REPLICAS and WRITEBACK_KEYSET_FILE; "registry load" also the
variables that the file names.
Exit codes: 0 done, 1 failed, 2 wrong usage.
`)
}
