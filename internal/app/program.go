package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/redis/go-redis/v9"

	"writeback/internal/config"
	"writeback/internal/telemetry"
)

// Program is one of the binaries: its name, one sentence, and what it does.
type Program[P config.Program] struct {
	Name  string
	About string
	Level func(P) config.Process
	Run   func(ctx context.Context, cfg P, t *telemetry.Telemetry) error
	// Flags are variables that a flag sets too, by the flag's name. The flag wins.
	Flags map[string]string
}

// Main reads flags and environment, runs the program until SIGTERM or SIGINT, and
// gives the exit code: 0 for a clean stop, 1 for a failure, 2 for bad usage.
func (p Program[P]) Main(args []string, environ []string, out, errout io.Writer) int {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(errout)
	version := flags.Bool("version", false, "print the version and exit")
	flags.Usage = func() {
		more := ""
		for _, name := range slices.Sorted(maps.Keys(p.Flags)) {
			more += fmt.Sprintf(" [-%s value]", name)
		}
		_, _ = fmt.Fprintf(errout, "%s: %s\n\nUsage: %s [-help] [-version]%s\n\nIt is configured by environment variables:\n\n", p.Name, p.About, p.Name, more)
		_ = config.Usage[P](errout)
		_, _ = fmt.Fprintln(errout, "\nTraces are configured by OpenTelemetry's own OTEL_* variables.")
	}
	for name, variable := range p.Flags {
		flags.Func(name, "sets "+variable, func(value string) error {
			environ = append(slices.Clone(environ), variable+"="+value)
			return nil
		})
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		_, _ = fmt.Fprintf(errout, "%s: unexpected argument %q; see -help\n", p.Name, flags.Arg(0))
		return 2
	case *version:
		_, _ = fmt.Fprintln(out, p.Name, config.Version())
		return 0
	}
	cfg, warnings, err := config.Load[P](environ)
	if err != nil {
		_, _ = fmt.Fprintf(errout, "%s: configuration:\n%s\n", p.Name, err)
		return 2
	}
	return p.run(cfg, warnings, errout)
}

func (p Program[P]) run(cfg P, warnings []string, errout io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	t, err := telemetry.Setup(ctx, telemetry.Config{
		Service: "writeback-" + p.Name, Version: config.Version(), Level: p.Level(cfg).LogLevel, Output: errout,
	})
	if err != nil {
		_, _ = fmt.Fprintf(errout, "%s: %s\n", p.Name, err)
		return 1
	}
	redis.SetLogger(redisLog{t.Logger})
	for _, w := range warnings {
		t.Logger.Warn("configuration", "warning", w)
	}
	t.Logger.Info("starting", "program", p.Name, "version", config.Version(), "config", cfg)
	err = p.Run(ctx, cfg, t)
	if flushed := t.Shutdown(context.WithoutCancel(ctx)); flushed != nil {
		t.Logger.Warn("flushing telemetry", "error", flushed)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Logger.Error("stopped", "error", err)
		return 1
	}
	t.Logger.Info("stopped")
	return 0
}

// redisLog keeps the client's own lines in our form.
type redisLog struct{ log *slog.Logger }

// Printf takes a line of the client.
func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.WarnContext(ctx, "redis client", "detail", fmt.Sprintf(format, v...))
}
