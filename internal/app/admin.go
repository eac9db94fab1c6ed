package app

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"writeback/internal/telemetry"
)

// WithAdmin runs a program beside its admin port. The port answers from the start:
// alive, and not ready until the program calls admin.Started. It stops last, so
// that metrics and health can be read until the program has ended; from the end of
// ctx on it says that it drains.
func WithAdmin(ctx context.Context, t *telemetry.Telemetry, addr string, grace time.Duration,
	program func(ctx context.Context, admin *telemetry.Admin) error,
) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("app: WRITEBACK_ADMIN_ADDR: %w", err)
	}
	admin := t.Admin(telemetry.AdminConfig{Starting: true})
	t.Logger.InfoContext(ctx, "admin port open", "admin", ln.Addr().String())
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	g, running := errgroup.WithContext(ctx)
	defer context.AfterFunc(running, admin.SetDraining)()
	g.Go(func() error { return Serve(lasting, ln, admin, grace) })
	g.Go(func() error {
		defer end()
		return program(running, admin)
	})
	return g.Wait()
}
