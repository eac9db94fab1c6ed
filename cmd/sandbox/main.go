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

	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
	geotab "writeback/pkg/tsp/geotab/box"
)

const (
	defaultAddr = "127.0.0.1:8090"
	drain       = 5 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run gives the exit code: 0 after a graceful stop or -help, 1 for a failure, 2
// for wrong usage. Logs go to out, usage to errOut.
func run(ctx context.Context, args []string, env func(string) string, out, errOut io.Writer) int {
	addr, cfg, err := parse(args, env, errOut)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	log := slog.New(slog.NewJSONHandler(out, nil))
	if err := serve(ctx, addr, cfg, log); err != nil {
		log.Error("sandbox failed", "error", err.Error())
		return 1
	}
	log.Info("sandbox stopped")
	return 0
}

func parse(args []string, env func(string) string, errOut io.Writer) (string, sandbox.Config, error) {
	addr := env("WRITEBACK_SANDBOX_ADDR")
	if addr == "" {
		addr = defaultAddr
	}
	var cfg sandbox.Config
	var parts boxes.Config
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&addr, "addr", addr, "address to listen on; port 0 takes a free one (env WRITEBACK_SANDBOX_ADDR)")
	flags.IntVar(&cfg.UsersPerConnection, "users", sandbox.DefaultUsers, "users of each connection")
	flags.IntVar(&parts.Geotab.AuthPerMinute, "geotab-logins", geotab.DefaultAuthPerMinute, "Geotab logins per minute, user and database")
	flags.DurationVar(&parts.Geotab.SessionLife, "geotab-session", geotab.DefaultSessionLife, "life of a Geotab session")
	if err := flags.Parse(args); err != nil {
		return "", cfg, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q", flags.Arg(0))
		_, _ = fmt.Fprintln(errOut, err)
		flags.Usage()
		return "", cfg, err
	}
	cfg.Parts = boxes.Parts(parts)
	return addr, cfg, nil
}

// serve runs until ctx ends, then lets calls under way finish.
func serve(ctx context.Context, addr string, cfg sandbox.Config, log *slog.Logger) error {
	box := sandbox.New(cfg)
	defer box.Close()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
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
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		return fmt.Errorf("sandbox: stop: %w", err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("sandbox: serve: %w", err)
	}
	return nil
}
