// Command sandbox runs the provider sandbox alone: every provider on one
// address, with made-up users, for trying Writeback by hand. It prints the
// address that it listens on as its first log line and stops on SIGINT or SIGTERM.
// It has no place in production: its control paths need no credential.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"writeback/internal/config"
	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
	geotab "writeback/pkg/tsp/geotab/box"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run gives the exit code: 0 after a graceful stop or -help, 1 for a failure, 2
// for wrong usage. Logs go to out, usage to errOut.
func run(ctx context.Context, args, environ []string, out, errOut io.Writer) int {
	settings, warnings, cfg, err := parse(args, environ, errOut)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	log := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: settings.LogLevel}))
	for _, w := range warnings {
		_, _ = fmt.Fprintln(errOut, "sandbox:", w) // the first log line is the address
	}
	if err := serve(ctx, settings, cfg, log); err != nil {
		log.Error("sandbox failed", "error", err.Error())
		return 1
	}
	log.Info("sandbox stopped")
	return 0
}

// parse reads the variables, as every program does, and what only the sandbox has as
// flags. What is wrong has been said.
func parse(args, environ []string, errOut io.Writer) (settings config.Sandbox, warnings []string, cfg sandbox.Config, err error) {
	var parts boxes.Config
	sources := config.Sources{Environ: environ, Flags: map[string]string{}}
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	for _, f := range config.Flags[config.Sandbox]() {
		flags.Func(f.Name, f.Help+" ("+f.Variable+")", func(value string) error {
			sources.Flags[f.Variable] = value
			return nil
		})
	}
	flags.StringVar(&sources.File, "config", "", "YAML file of variables; flags and environment win over it")
	flags.IntVar(&cfg.UsersPerConnection, "users", sandbox.DefaultUsers, "users of each connection; fewer are as many as the default")
	flags.IntVar(&parts.Geotab.AuthPerMinute, "geotab-logins", geotab.DefaultAuthPerMinute, "Geotab logins per minute, user and database")
	flags.DurationVar(&parts.Geotab.SessionLife, "geotab-session", geotab.DefaultSessionLife, "life of a Geotab session")
	err = flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(errOut)
		_, _ = fmt.Fprint(errOut, "sandbox: every provider on one address, with made-up users\n\nUsage: sandbox [flags]\n\n")
		flags.PrintDefaults()
		return settings, nil, cfg, err
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		_, _ = fmt.Fprintf(errOut, "sandbox: %s; see -help\n", err)
		return settings, nil, cfg, err
	}
	if settings, warnings, err = config.Read[config.Sandbox](sources); err != nil {
		_, _ = fmt.Fprintf(errOut, "sandbox: configuration:\n%s\n", err)
		return settings, warnings, cfg, err
	}
	cfg.Parts = boxes.Parts(parts)
	return settings, warnings, cfg, nil
}

// serve runs until ctx ends, then lets calls under way finish within the grace.
func serve(ctx context.Context, settings config.Sandbox, cfg sandbox.Config, log *slog.Logger) error {
	box := sandbox.New(cfg)
	defer box.Close()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", settings.Addr)
	if err != nil {
		return fmt.Errorf("sandbox: listen: %w", err)
	}
	server := &http.Server{Handler: box.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	log.Info("sandbox listens", "addr", listener.Addr().String(), "url", "http://"+listener.Addr().String())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("sandbox: serve: %w", err)
	case <-ctx.Done():
	}
	box.Close()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), settings.ShutdownGrace)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		return fmt.Errorf("sandbox: stop: %w", err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("sandbox: serve: %w", err)
	}
	return nil
}
