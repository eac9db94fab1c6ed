// Command worker takes operations from the lanes and writes them to the
// providers.
package main

import (
	"context"
	"os"

	"golang.org/x/sync/errgroup"

	"writeback/internal/app"
	"writeback/internal/config"
	"writeback/internal/telemetry"
)

func main() {
	program := app.Program[config.Worker]{
		Name: "worker", About: "writes accepted operations to the providers",
		Level: func(c config.Worker) config.Process { return c.Process },
		Run:   run,
	}
	os.Exit(program.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run works until ctx ends. Order of the stop: not ready, stop fetching, finish or
// give back what is under way, write down confirmations, close.
func run(ctx context.Context, cfg config.Worker, t *telemetry.Telemetry) error {
	return app.WithAdmin(ctx, t, cfg.AdminAddr, cfg.ShutdownGrace, func(ctx context.Context, admin *telemetry.Admin) error {
		base, err := app.Open(ctx, app.Settings{
			Name: "writeback-worker", Common: cfg.Common, Streams: cfg.Streams, Providers: cfg.Providers,
			KeysetFile: cfg.KeysetFile, EgressProxy: cfg.EgressProxy, Slots: cfg.Concurrency, Log: t.Logger, Waiting: admin.Waiting,
		})
		if err != nil {
			return err
		}
		defer base.Close()
		lasting, end := context.WithCancel(context.WithoutCancel(ctx))
		g, working := errgroup.WithContext(ctx)
		g.Go(func() error { return base.Run(lasting) })
		g.Go(func() error {
			defer end()
			t.Logger.Info("working", "roles", cfg.Roles, "concurrency", cfg.Concurrency)
			return app.RunWorker(working, base, cfg, func() { admin.Started(base.Readiness()) })
		})
		return g.Wait()
	})
}
