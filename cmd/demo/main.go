// Command demo starts the whole of Writeback in this process, on free ports and
// with nothing kept, plays its main stories over real HTTP, and tells each: what
// was asked, what was answered, each attempt, and what the provider received.
//
// It tells nothing that it has not checked: at the first thing that is not as
// told it says so and exits with 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"writeback/internal/devstack"
)

const (
	// deadline of the whole demo.
	deadline    = 60 * time.Second
	stopTimeout = 20 * time.Second
	freePort    = "127.0.0.1:0"
)

var errDeadline = errors.New("the demo took longer than a minute")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run gives the exit code: 0 when everything was as told or for -help, 1 when
// something was not, 2 for wrong usage.
func run(ctx context.Context, args []string, getenv func(string) string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprint(errOut, "demo: starts the whole of Writeback in one process, plays its main stories, checks them, and exits\n\n"+
			"Usage: demo [-help]\n\nNO_COLOR switches colour off; WRITEBACK_LOG_LEVEL (default error) sets the logs on standard error.\n")
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(errOut, "demo: %s; see -help\n", err)
		return 2
	case flags.NArg() > 0:
		_, _ = fmt.Fprintf(errOut, "demo: unexpected argument %q; see -help\n", flags.Arg(0))
		return 2
	}
	if err := play(ctx, getenv, out, errOut); err != nil {
		_, _ = fmt.Fprintf(errOut, "demo: NOT AS TOLD: %s\n", err)
		return 1
	}
	return 0
}

// play runs the stories on a stack of their own.
func play(ctx context.Context, getenv func(string) string, out, errOut io.Writer) error {
	began := time.Now()
	level := getenv("WRITEBACK_LOG_LEVEL")
	if level == "" {
		level = "error"
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, errDeadline)
	defer cancel()
	stack, err := devstack.Start(ctx, devstack.Options{
		APIAddr: freePort, AdminAddr: freePort, SandboxAddr: freePort,
		Environ: []string{"WRITEBACK_LOG_LEVEL=" + level}, Log: errOut,
	})
	if err != nil {
		return err
	}
	d := newDemo(stack, printer{out: out, colour: colourful(out, getenv)})
	d.p.head(stack, time.Since(began))
	err = d.tell(ctx)
	d.close()
	stopping, stopped := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer stopped()
	if err := errors.Join(err, stack.Stop(stopping)); err != nil {
		return err
	}
	d.p.end(time.Since(began))
	return nil
}
