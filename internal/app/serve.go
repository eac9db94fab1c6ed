package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// patience is how long a caller may take for each part of an exchange.
type patience struct{ header, read, write, idle time.Duration }

// ordinary patience: a sync write waits for its provider, and pprof profiles take
// their time.
var ordinary = patience{header: 5 * time.Second, read: 15 * time.Second, write: 2 * time.Minute, idle: 2 * time.Minute}

// Serve serves until ctx ends, then lets requests under way finish within the
// grace. It closes the listener. A caller that takes longer than 5 s for its header, or
// 15 s for header and body, is cut off.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, grace time.Duration) error {
	return serve(ctx, ln, h, grace, ordinary)
}

func serve(ctx context.Context, ln net.Listener, h http.Handler, grace time.Duration, p patience) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: p.header,
		ReadTimeout:       p.read,
		WriteTimeout:      p.write,
		IdleTimeout:       p.idle,
		MaxHeaderBytes:    32 << 10,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("app: serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := srv.Shutdown(stop)
	if err != nil {
		_ = srv.Close()
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("app: stop serving %s: %w", ln.Addr(), err)
	}
	return nil
}
