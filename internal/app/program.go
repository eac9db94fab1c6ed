package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
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
}

// Main reads flags, environment and file, runs the program until SIGTERM or SIGINT,
// and gives the exit code: 0 for a clean stop, 1 for a failure, 2 for bad usage. A
// second signal ends the process at once.
func (p Program[P]) Main(args []string, environ []string, out, errout io.Writer) int {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the table of variables would push what is wrong off the screen
	sources := config.Sources{Flags: map[string]string{}, Environ: environ}
	version := flags.Bool("version", false, "print the version and exit")
	flags.StringVar(&sources.File, "config", "", "YAML file of variables; flags and environment win over it")
	for _, f := range config.Flags[P]() {
		flags.Func(f.Name, "sets "+f.Variable, func(value string) error {
			sources.Flags[f.Variable] = value
			return nil
		})
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		p.usage(errout)
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(errout, "%s: %s; see -help\n", p.Name, err)
		return 2
	case flags.NArg() > 0:
		_, _ = fmt.Fprintf(errout, "%s: unexpected argument %q; see -help\n", p.Name, flags.Arg(0))
		return 2
	case *version:
		_, _ = fmt.Fprintln(out, p.Name, config.Version())
		return 0
	}
	cfg, warnings, err := config.Read[P](sources)
	if err != nil {
		_, _ = fmt.Fprintf(errout, "%s: configuration:\n%s\n", p.Name, err)
		return 2
	}
	return p.run(cfg, warnings, errout)
}

func (p Program[P]) usage(w io.Writer) {
	_, _ = fmt.Fprintf(w, "%s: %s\n\nUsage: %s [-help] [-version] [--config file.yaml] [--variable value ...]\n\n"+
		"It is configured by these variables: from a flag (--nats-url sets WRITEBACK_NATS_URL;\n"+
		"secrets have none), else the environment, else the file.\n\n", p.Name, p.About, p.Name)
	_ = config.Usage[P](w)
	_, _ = fmt.Fprintln(w, "\nTraces are configured by OpenTelemetry's own OTEL_* variables.")
}

func (p Program[P]) run(cfg P, warnings []string, errout io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	t, err := telemetry.Setup(ctx, telemetry.Config{
		Service: "writeback-" + p.Name, Version: config.Version(), Level: p.Level(cfg).LogLevel, Output: errout,
	})
	if err != nil {
		_, _ = fmt.Fprintf(errout, "%s: %s\n", p.Name, err)
		return 1
	}
	redis.SetLogger(redisLog{telemetry.Seldom(t.Logger)})
	log.SetFlags(0)
	log.SetOutput(libraryLog{telemetry.Seldom(t.Logger)})
	for _, w := range warnings {
		t.Logger.Warn("configuration", "warning", w)
	}
	limitMemory(memlimit.FromCgroup, t.Logger)
	t.Logger.Info("starting", "program", p.Name, "config", cfg)
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
	detail := fmt.Sprintf(format, v...)
	// Which server is the primary is news and no fault, and must not be left out for one.
	switch {
	case strings.HasPrefix(format, "sentinel: new master"):
		l.log.InfoContext(ctx, "redis primary", "detail", detail)
	case strings.HasPrefix(format, "sentinel: selected"):
		l.log.InfoContext(ctx, "redis sentinel", "detail", detail)
	default:
		l.log.WarnContext(ctx, "redis client", "detail", detail)
	}
}

// libraryLog keeps the lines of Go's own library in our form, up to what they quote: that
// was sent by somebody else, like the part of an answer that came when none was awaited.
type libraryLog struct{ log *slog.Logger }

// Write takes a line.
func (l libraryLog) Write(line []byte) (int, error) {
	text, _, _ := strings.Cut(string(line), `"`)
	l.log.Warn("library", "detail", strings.TrimSpace(text))
	return len(line), nil
}
