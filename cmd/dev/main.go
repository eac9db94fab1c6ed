// Command dev runs the whole of Writeback in one process until Ctrl-C: NATS,
// Redis, a token issuer, the provider sandbox, the api and the workers. It prints
// where everything is and a first write to try; logs go to standard error.
//
// It is for development only: its partners, secrets and people are made up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"writeback/internal/devstack"
)

// stopTimeout bounds a graceful stop. A second Ctrl-C ends the process at once.
const stopTimeout = 45 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run gives the exit code: 0 after a graceful stop or -help, 1 for a failure, 2
// for wrong usage or settings.
func run(ctx context.Context, args, environ []string, out, errOut io.Writer) int {
	o, err := parse(args, environ, errOut)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if err := serve(ctx, o, out); err != nil {
		_, _ = fmt.Fprintf(errOut, "dev: %s\n", err)
		var settings *devstack.SettingsError
		if errors.As(err, &settings) {
			return 2
		}
		return 1
	}
	return 0
}

func parse(args, environ []string, errOut io.Writer) (devstack.Options, error) {
	o := devstack.Options{Log: errOut, Environ: environ}
	if !slices.ContainsFunc(environ, func(v string) bool {
		level, ok := strings.CutPrefix(v, "WRITEBACK_LOG_LEVEL=")
		return ok && strings.TrimSpace(level) != ""
	}) {
		o.Environ = append(slices.Clone(environ), "WRITEBACK_LOG_LEVEL=warn")
	}
	flags := flag.NewFlagSet("dev", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.APIAddr, "api-addr", devstack.DefaultAPIAddr, "address of the partner API and the token issuer; port 0 takes a free one")
	flags.StringVar(&o.AdminAddr, "admin-addr", devstack.DefaultAdminAddr, "address of health, metrics and pprof; port 0 takes a free one")
	flags.StringVar(&o.SandboxAddr, "sandbox-addr", devstack.DefaultSandboxAddr, "address of the provider sandbox; port 0 takes a free one")
	flags.StringVar(&o.NATSURL, "nats-url", "", "URL of a running NATS with JetStream (default: one in this process)")
	flags.StringVar(&o.RedisURL, "redis-url", "", "URL of a running Redis (default: redis-server from the PATH, else one in memory)")
	flags.IntVar(&o.Workers, "workers", 1, "number of workers")
	flags.StringVar(&o.DataDir, "data-dir", "", "folder that keeps the data of NATS and Redis (default: a temporary one)")
	help := func() {
		flags.SetOutput(errOut)
		_, _ = fmt.Fprint(errOut, "dev: the whole of Writeback in one process, until Ctrl-C\n\nUsage: dev [flags]\n\n")
		flags.PrintDefaults()
		_, _ = fmt.Fprintln(errOut, "\nFurther settings come from the environment: WRITEBACK_LOG_LEVEL (default warn),\n"+
			"WRITEBACK_WORKER_CONCURRENCY, WRITEBACK_STRICT_BODIES, WRITEBACK_SHUTDOWN_GRACE and OTEL_*.")
	}
	flags.Usage = func() {}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		help()
		return o, err
	case err != nil:
		return o, complain(errOut, err)
	}
	if flags.NArg() > 0 {
		return o, complain(errOut, fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	if o.Workers < 1 || o.Workers > devstack.MaxWorkers {
		return o, complain(errOut, fmt.Errorf("-workers must be 1 to %d", devstack.MaxWorkers))
	}
	return o, nil
}

func complain(errOut io.Writer, err error) error {
	_, _ = fmt.Fprintf(errOut, "dev: %s; see -help\n", err)
	return err
}

// serve runs the stack until ctx ends or a part of it fails.
func serve(ctx context.Context, o devstack.Options, out io.Writer) error {
	stack, err := devstack.Start(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	banner(out, stack, o)
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(out, "\nStopping; a second Ctrl-C ends at once.")
	case err = <-stack.Failed():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := errors.Join(err, stack.Stop(stopping)); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "Stopped.")
	return nil
}
