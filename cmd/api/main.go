// Command api is the ingress: it takes partners' writes, stores and publishes
// them as operations, and answers reads.
package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sync/errgroup"

	"writeback/internal/app"
	"writeback/internal/auth"
	"writeback/internal/config"
	"writeback/internal/telemetry"
)

func main() {
	program := app.Program[config.API]{
		Name: "api", About: "the partner API of Writeback",
		Level: func(c config.API) config.Process { return c.Process },
		Run:   run,
	}
	os.Exit(program.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run serves until ctx ends. Order of the stop: not ready, finish requests, write
// down confirmations, close.
func run(ctx context.Context, cfg config.API, t *telemetry.Telemetry) error {
	// Whether the address can be had is told at once; it is taken when there is somebody to
	// answer. A write that waited there would be carried out when its caller has long given
	// up, after newer ones that another api took.
	listener, err := listen(cfg.Addr)
	if err != nil {
		return err
	}
	_ = listener.Close()
	return app.WithAdmin(ctx, t, cfg.AdminAddr, cfg.ShutdownGrace, func(ctx context.Context, admin *telemetry.Admin) error {
		verifier, err := auth.New(ctx, auth.Config{Issuer: cfg.OIDCIssuer, Audience: cfg.OIDCAudience})
		if err != nil {
			return err
		}
		defer verifier.Close()
		base, err := app.Open(ctx, app.Settings{
			Name: "writeback-api", Common: cfg.Common, Streams: cfg.Streams, Providers: cfg.Providers,
			KeysetFile: cfg.KeysetFile, EgressProxy: cfg.EgressProxy, Log: t.Logger, Waiting: admin.Waiting,
		})
		if err != nil {
			return err
		}
		defer base.Close()
		api, err := app.NewAPI(ctx, base, cfg, verifier)
		if err != nil {
			return err
		}
		checks := api.Checks()
		checks["token keys"] = verifier.Check
		listener, err := listen(cfg.Addr)
		if err != nil {
			return err
		}
		defer func() { _ = listener.Close() }()
		admin.Started(base.ServingReadiness(checks))
		lasting, end := context.WithCancel(context.WithoutCancel(ctx))
		g, serving := errgroup.WithContext(ctx)
		g.Go(func() error { return base.Run(lasting) })
		g.Go(func() error { return base.WatchShards(serving) })
		g.Go(func() error { return api.Follow(lasting) })
		g.Go(func() error { return api.Tail(serving) })
		g.Go(func() error { return api.FollowOffers(serving) })
		g.Go(func() error {
			defer end()
			t.Logger.Info("serving", "addr", listener.Addr().String())
			return app.Serve(serving, listener, api.Handler, cfg.ShutdownGrace)
		})
		return g.Wait()
	})
}

func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("WRITEBACK_API_ADDR: %w", err)
	}
	return l, nil
}
