// Package devstack runs the whole of Writeback in one process: NATS with
// JetStream, Redis, a token issuer, the provider sandbox, the api and one or more
// workers. It is for development, the demo and tests.
//
// It refuses to be a deployment: its partners, credentials and people are made up,
// its token issuer trusts secrets that are printed in the source, and it listens
// on the loopback address unless told otherwise. Each worker and the api have
// connections and a directory of their own, as separate processes would; only
// telemetry is shared, since OpenTelemetry has one set of providers per process.
package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"writeback/internal/app"
	"writeback/internal/config"
	"writeback/internal/sandbox"
	"writeback/internal/seal"
	"writeback/internal/telemetry"
	"writeback/pkg/operation"
	"writeback/pkg/tsp/all/boxes"
	"writeback/pkg/tsp/simulator"
)

// Default addresses.
const (
	DefaultAPIAddr     = "127.0.0.1:8080"
	DefaultAdminAddr   = "127.0.0.1:8081"
	DefaultSandboxAddr = "127.0.0.1:8090"
)

// MaxWorkers is how many workers one stack may have.
const MaxWorkers = 64

// StartTimeout bounds Start; it takes a second or two, on a machine that is busy otherwise much longer.
const StartTimeout = 90 * time.Second

// Options say what to start. The zero value starts everything on the default
// addresses with nothing kept.
type Options struct {
	// APIAddr, AdminAddr and SandboxAddr are host:port; port 0 takes a free one.
	// Empty: the default addresses.
	APIAddr, AdminAddr, SandboxAddr string
	// NATSURL of a running NATS with JetStream. Empty: one in this process.
	NATSURL string
	// RedisURL of a running Redis. Empty: what Redis says.
	RedisURL string
	// Redis says which Redis to start when there is no RedisURL.
	Redis RedisKind
	// Workers is how many workers run. Zero: 1.
	Workers int
	// Concurrency is how many provider calls a worker makes at a time. Zero: what
	// Environ says, or the worker's own default.
	Concurrency int
	// DataDir keeps what NATS and Redis store. Empty: a temporary folder, removed
	// by Stop. One stack at a time may use a folder; on Linux a second is refused.
	DataDir string
	// Environ holds further settings of api and worker in the form of os.Environ.
	// Addresses, URLs, the issuer and the registry file are the stack's own.
	Environ []string
	// Boxes are the options of the sandbox's providers.
	Boxes boxes.Config
	// Log takes the log lines. Nil: they are dropped.
	Log io.Writer
}

// URLs is where the parts of a running stack are.
type URLs struct {
	API, Admin, Sandbox string
	NATS, Redis         string
	// Token is the endpoint of the client_credentials grant.
	Token string
	// Docs is the page of the API document.
	Docs string
}

// Stack is a running stack. Its methods may be called concurrently.
type Stack struct {
	urls      URLs
	redisNote string
	dir       string
	settings  settings
	log       *telemetry.Telemetry
	admin     *telemetry.Admin
	checks    map[string]func(context.Context) error
	bases     []*app.Base // the api's first
	parts     *parts
}

// Start starts the stack and returns when it can be used. ctx bounds the start
// only, together with StartTimeout; the stack then runs until Stop. A start that
// fails leaves nothing running. Faulty settings are a *SettingsError.
func Start(ctx context.Context, o Options) (*Stack, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, StartTimeout, errors.New("the start took too long"))
	defer cancel()
	s := &Stack{parts: newParts(ctx)}
	if err := s.start(ctx, o); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*stopGrace)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("devstack: %w", err), s.Stop(stop))
	}
	return s, nil
}

// start goes from the ground up; Stop goes back the same way.
func (s *Stack) start(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	// Faulty settings are told before anything is started.
	nowhere := "http://" + loopback
	if _, err := o.settings(URLs{API: nowhere, Sandbox: nowhere, NATS: o.NATSURL, Redis: o.RedisURL}, "", ""); err != nil {
		return err
	}
	listeners, err := s.listen(ctx, o)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context, Options) error{s.folder, s.nats, s.redis} {
		if err := step(ctx, o); err != nil {
			return err
		}
	}
	s.sandbox(listeners.sandbox, o.Boxes)
	if err := s.configure(ctx, o); err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	s.work()
	if err := s.serve(ctx, listeners); err != nil {
		return err
	}
	return s.ready(ctx)
}

func (o Options) withDefaults() (Options, error) {
	for addr, byDefault := range map[*string]string{
		&o.APIAddr: DefaultAPIAddr, &o.AdminAddr: DefaultAdminAddr, &o.SandboxAddr: DefaultSandboxAddr,
	} {
		if *addr == "" {
			*addr = byDefault
		}
	}
	if o.Workers == 0 {
		o.Workers = 1
	}
	if o.Workers < 0 || o.Workers > MaxWorkers {
		return o, &SettingsError{fmt.Errorf("workers must be 1 to %d", MaxWorkers)}
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return o, nil
}

// listeners are bound first, so that a port in use is told at once.
type listeners struct{ api, admin, sandbox net.Listener }

func (s *Stack) listen(ctx context.Context, o Options) (listeners, error) {
	var l listeners
	var lc net.ListenConfig
	for _, one := range []struct {
		listener   *net.Listener
		name, addr string
		url        *string
	}{
		{&l.api, "api", o.APIAddr, &s.urls.API},
		{&l.admin, "admin", o.AdminAddr, &s.urls.Admin},
		{&l.sandbox, "sandbox", o.SandboxAddr, &s.urls.Sandbox},
	} {
		ln, err := lc.Listen(ctx, "tcp", one.addr)
		if err != nil {
			return l, fmt.Errorf("%s address: %w", one.name, err)
		}
		// Serving closes it too; this is for a start that fails before.
		s.parts.after(func(context.Context) error { _ = ln.Close(); return nil })
		*one.listener, *one.url = ln, urlOf(ln.Addr())
	}
	return l, nil
}

// urlOf is how this machine reaches a listener: one on all addresses is reached on
// the loopback address.
func urlOf(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func (s *Stack) folder(_ context.Context, o Options) error {
	if o.DataDir != "" {
		dir, err := filepath.Abs(o.DataDir)
		if err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
		s.dir = dir
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
		claim, err := lock(dir)
		if err != nil {
			return fmt.Errorf("data folder %s: %w", dir, err)
		}
		s.parts.after(func(context.Context) error { return claim.Close() })
		return nil
	}
	dir, err := os.MkdirTemp("", "writeback-dev-")
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	s.dir = dir
	s.parts.after(func(context.Context) error { return os.RemoveAll(dir) })
	return nil
}

// configure writes the registry and the tool's file, reads the settings and sets up
// telemetry.
func (s *Stack) configure(ctx context.Context, o Options) error {
	file := filepath.Join(s.dir, "registry.yaml")
	if err := writeRegistry(file, sandbox.Seeds(boxes.Parts(o.Boxes)), s.urls.Sandbox); err != nil {
		return err
	}
	keyset, err := s.keyset(o)
	if err != nil {
		return err
	}
	settings, err := o.settings(s.urls, file, keyset)
	if err != nil {
		return err
	}
	s.settings = settings
	tool, err := o.toolFile(s.urls, file, keyset)
	if err != nil {
		return fmt.Errorf("settings of the tool: %w", err)
	}
	if err := os.WriteFile(s.ToolConfig(), tool, 0o600); err != nil {
		return fmt.Errorf("settings of the tool: %w", err)
	}
	s.urls.Token, s.urls.Docs = settings.api.OIDCIssuer+"/protocol/openid-connect/token", s.urls.API+"/docs"
	s.log, err = telemetry.Setup(ctx, telemetry.Config{
		Service: "writeback-dev", Version: config.Version(), Level: settings.api.LogLevel, Output: o.Log,
	})
	if err != nil {
		return err
	}
	s.parts.after(s.log.Shutdown)
	return nil
}

// keyset gives the file of the key that seals what NATS stores. It lies beside that:
// a NATS that is not the stack's own outlives it, so there is none.
func (s *Stack) keyset(o Options) (string, error) {
	if o.NATSURL != "" {
		return "", nil
	}
	file := filepath.Join(s.dir, "keyset.json")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	fresh, err := seal.Generate()
	if err != nil {
		return "", fmt.Errorf("keyset: %w", err)
	}
	if err := os.WriteFile(file, fresh, 0o600); err != nil {
		return "", fmt.Errorf("keyset: %w", err)
	}
	return file, nil
}

// ToolConfig names the file that makes the operator's command look at this stack:
// `writeback --config FILE`.
func (s *Stack) ToolConfig() string { return filepath.Join(s.dir, "writeback.yaml") }

// URLs says where the parts are, with the ports that were taken.
func (s *Stack) URLs() URLs { return s.urls }

// Redis says in a few words which Redis is used and what it keeps.
func (s *Stack) Redis() string { return s.redisNote }

// Failed gives the error of a part that ended by itself. Nothing comes while all
// is well.
func (s *Stack) Failed() <-chan error { return s.parts.failed }

// SimulatorUser gives the fields that the simulator holds of a user. Each program
// has a simulator of its own; the first that knows the user answers, the api
// (which makes the sync writes) before the workers. Nil: nobody wrote the user.
func (s *Stack) SimulatorUser(connection uuid.UUID, sourceID string) operation.Changes {
	for _, b := range s.bases {
		p, _ := b.Providers.Get(simulator.Name)
		if sim, ok := p.(*simulator.Provider); ok {
			if held := sim.User(connection, sourceID); held != nil {
				return held
			}
		}
	}
	return nil
}

// Stop stops everything, from the api down: requests and provider calls under way
// finish, what they did is recorded, and nothing is left running. When ctx ends it
// waits no longer. It may be called more than once; only the first call works.
func (s *Stack) Stop(ctx context.Context) error {
	if s.admin != nil {
		s.admin.SetDraining()
	}
	if err := s.parts.stop(ctx); err != nil {
		return fmt.Errorf("devstack: stop: %w", err)
	}
	return nil
}
