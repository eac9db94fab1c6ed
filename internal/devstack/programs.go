package devstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"writeback/internal/app"
	"writeback/internal/auth"
	"writeback/internal/devissuer"
	"writeback/internal/sandbox"
	"writeback/internal/telemetry"
	"writeback/pkg/tsp/all/boxes"
)

// sandbox serves the providers.
func (s *Stack) sandbox(ln net.Listener, options boxes.Config) {
	box := sandbox.New(sandbox.Config{Parts: boxes.Parts(options)})
	s.parts.run("sandbox", func(ctx context.Context) error {
		return app.Serve(ctx, ln, box.Handler(), stopGrace)
	})
	// Calls that a fault holds are let go before the server waits for them.
	s.parts.after(func(context.Context) error { box.Close(); return nil })
}

// open makes the shared parts of the api and of each worker, and runs them.
func (s *Stack) open(ctx context.Context) error {
	for n := range s.settings.workers + 1 {
		slots := s.settings.worker.Concurrency
		if n == 0 {
			slots = 0 // the api has none
		}
		base, err := app.Open(ctx, app.Settings{
			Name: baseName(n), Common: s.settings.worker.Common, Streams: s.settings.worker.Streams,
			Providers: s.settings.worker.Providers, KeysetFile: s.settings.worker.KeysetFile, Slots: slots, Log: s.log.Logger.With("program", baseName(n)),
		})
		if err != nil {
			return err
		}
		s.bases = append(s.bases, base)
		s.parts.after(func(context.Context) error { base.Close(); return nil })
		s.parts.run(baseName(n), base.Run)
	}
	return nil
}

func baseName(n int) string {
	if n == 0 {
		return "api"
	}
	return fmt.Sprintf("worker-%d", n)
}

func (s *Stack) work() {
	for n, base := range s.bases[1:] {
		s.parts.run(baseName(n+1), func(ctx context.Context) error {
			return app.RunWorker(ctx, base, s.settings.worker, func() {})
		})
	}
}

// serve opens the api, the issuer on the same address, and the admin port.
func (s *Stack) serve(ctx context.Context, l listeners) error {
	cfg := s.settings.api
	issuer, err := devissuer.New(devissuer.Config{IssuerURL: cfg.OIDCIssuer})
	if err != nil {
		return err
	}
	verifier, err := auth.New(context.WithoutCancel(ctx), auth.Config{
		Issuer: cfg.OIDCIssuer, Audience: cfg.OIDCAudience, Logger: s.log.Logger,
	})
	if err != nil {
		return err
	}
	s.parts.after(func(context.Context) error { verifier.Close(); return nil })
	api, err := app.NewAPI(ctx, s.bases[0], cfg, verifier)
	if err != nil {
		return err
	}
	s.checks = s.dependencies(verifier)
	for name, check := range api.Checks() {
		s.checks["api "+name] = check
	}
	s.admin = s.log.Admin(telemetry.AdminConfig{Checks: s.checks})
	s.parts.run("admin", func(ctx context.Context) error {
		return app.Serve(ctx, l.admin, s.admin, cfg.ShutdownGrace)
	})
	s.parts.run("shards", s.bases[0].WatchShards)
	s.parts.run("webhooks", api.Follow)
	// Not a ServeMux, which would redirect paths that the api refuses.
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, devissuer.Realm+"/") {
			issuer.ServeHTTP(w, r)
			return
		}
		api.Handler.ServeHTTP(w, r)
	})
	s.parts.run("api", func(ctx context.Context) error {
		return app.Serve(ctx, l.api, handler, cfg.ShutdownGrace)
	})
	// It is ended before the server, which would wait for live tails.
	s.parts.run("live tails", api.Tail)
	s.parts.run("offers", api.FollowOffers)
	return nil
}

// dependencies are the checks of readiness, by program and dependency.
func (s *Stack) dependencies(verifier *auth.Verifier) map[string]func(context.Context) error {
	checks := map[string]func(context.Context) error{
		"api token keys": verifier.Check,
		"shards":         s.shards,
	}
	for n, base := range s.bases {
		for name, check := range base.Checks() {
			checks[baseName(n)+" "+name] = check
		}
	}
	return checks
}

// shards checks that every shard of the store has been started.
func (s *Stack) shards(ctx context.Context) error {
	missing, err := s.bases[0].Store.Missing(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	return fmt.Errorf("%d shards are not started: Redis has not got what the streams remember", len(missing))
}

const readyEvery = 10 * time.Millisecond

// ready waits until every check passes.
func (s *Stack) ready(ctx context.Context) error {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		failing := s.failing(ctx)
		if failing == nil {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-s.parts.failed:
			return err
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), failing)
		}
	}
}

// failing gives the first check, by name, that does not pass.
func (s *Stack) failing(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(s.checks)) {
		if err := s.checks[name](ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
