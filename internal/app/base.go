// Package app joins the parts into programs: what api and worker share, the api's
// handler, and the worker. cmd/api, cmd/worker and the development stack are made
// of it.
//
// It is wiring only: no rule of the product is decided here.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"writeback/internal/config"
	"writeback/internal/directory"
	"writeback/internal/metrics"
	"writeback/internal/natsq"
	"writeback/internal/redisurl"
	"writeback/internal/telemetry"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// Settings are what Base is made from.
type Settings struct {
	// Name of the program, shown to NATS and Redis.
	Name      string
	Common    config.Common
	Streams   config.Streams
	Providers config.Providers
	// KeysetFile seals credentials. Empty: they are stored in clear.
	KeysetFile string
	// Slots is how many operations the program attempts at a time. Zero: it has no such
	// bound. The bound of connections to one provider is above it.
	Slots int
	// EgressProxy is the proxy for calls to providers. Empty: none.
	EgressProxy string
	// Waiting is told what the start waits for and why, and, with nil, that it has come.
	// Nil: nobody is.
	Waiting func(what string, why error)
	Log     *slog.Logger
}

// Base is what api and worker share: connections, the store, the directory.
type Base struct {
	Log       *slog.Logger
	Redis     redis.UniversalClient
	NATS      *nats.Conn
	JetStream jetstream.JetStream
	Store     *redisstore.Store
	Directory *directory.Directory
	Providers *tsp.Registry
	Acker     *work.Acker
	Restorer  *work.Restorer
	publisher *natsq.Publisher
	streams   natsq.Config
	keeper    *streamKeeper
	// waiting is Settings.Waiting.
	waiting func(what string, why error)
	// notReached is why NATS was not reached the last time it was not.
	notReached atomic.Pointer[error]
}

// Open connects, brings streams and directory to the configuration and loads the
// registry file. Servers that are not there yet are waited for until ctx ends; a
// configuration that cannot work is an error at once.
func Open(ctx context.Context, s Settings) (*Base, error) {
	providers, err := openProviders(ctx, s)
	if err != nil {
		return nil, err
	}
	rdb, err := redisurl.Open(s.Common.RedisURL, s.Common.RedisOptions(s.Name, false))
	if err != nil {
		return nil, fmt.Errorf("app: WRITEBACK_REDIS_URL: %w", err)
	}
	identity := natsq.Identity(s.Common.NATSCredsFile, s.Common.TLSCertFile, s.Common.TLSKeyFile)
	b := &Base{Log: s.Log, Redis: rdb, Providers: providers, waiting: s.Waiting}
	away := natsq.Away(telemetry.Seldom(s.Log), func(err error) { b.notReached.Store(&err) })
	if b.NATS, err = natsq.Connect(s.Common.NATSURL, s.Name, s.Log, append(identity, away)...); err != nil {
		_ = rdb.Close()
		return nil, fmt.Errorf("app: %w", err)
	}
	if err := b.open(ctx, s); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Base) open(ctx context.Context, s Settings) (err error) {
	sealer, err := b.credentialSealer(ctx, s.KeysetFile)
	if err != nil {
		return err
	}
	if b.JetStream, err = jetstream.New(b.NATS, natsq.Publishing()...); err != nil {
		return fmt.Errorf("app: jetstream: %w", err)
	}
	b.streams = natsq.Config{
		Replicas: s.Streams.Replicas, Log: b.Log,
		OperationsMaxBytes: int64(s.Streams.OperationsMaxBytes), EventsMaxBytes: int64(s.Streams.EventsMaxBytes),
	}
	b.Store = redisstore.New(b.Redis, redisstore.Config{})
	b.publisher = natsq.NewPublisher(b.NATS, b.JetStream)
	b.keeper = newStreamKeeper(b)
	if err = b.await(ctx, "streams", b.keeper.begin); err != nil {
		return err
	}
	err = b.persist(ctx, "directory", func(ctx context.Context) error {
		d, err := directory.Open(ctx, b.JetStream, directory.Config{
			Replicas: s.Streams.Replicas, Logger: s.Log, Providers: b.Providers.Names(), Sealer: sealer,
		})
		b.Directory = d
		return err
	})
	if err != nil {
		return err
	}
	if err := b.register(ctx, s.Common.RegistryFile); err != nil {
		return err
	}
	b.Acker = work.NewAcker(b.Store, b.Log)
	b.Restorer = work.NewRestorer(b.Store, natsq.NewHistory(b.JetStream).Logging(b.Log), work.RestoreConfig{
		LongestCalls: func() [operation.Shards]time.Duration {
			return work.LongestCalls(b.Providers, b.Directory.All())
		},
		Paused: b.Directory.Paused,
	}, b.Log)
	return b.persist(ctx, "comparing Redis with the streams", b.Restorer.Verify)
}

func (b *Base) register(ctx context.Context, file string) error {
	if file == "" {
		return nil
	}
	report, err := b.Directory.LoadFile(ctx, file)
	if err != nil {
		return fmt.Errorf("app: %w", err)
	}
	b.Log.InfoContext(ctx, "registry file loaded", "report", report)
	return nil
}

// errNATSClosed says that the client has given its connection up: only a new process has another.
var errNATSClosed = errors.New("app: the connection to NATS is closed for good")

var errNoAnswer = errors.New("no answer yet")

// await persists with what is done in seconds, or not at all.
func (b *Base) await(ctx context.Context, what string, try func(context.Context) error) error {
	return b.persist(ctx, what, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return try(ctx)
	})
}

// persist tries until it works, ctx ends or it can never work, and says why it waits. A
// try takes its time, since what is read may be long: it must end by itself when nothing comes.
func (b *Base) persist(ctx context.Context, what string, try func(context.Context) error) error {
	tell := b.waiting
	if tell == nil {
		tell = func(string, error) {}
	}
	tell(what, errNoAnswer)
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := b.explain(try(ctx))
		tell(what, err)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("app: waiting for %s: %w", what, ctx.Err())
		case b.NATS.IsClosed():
			return errors.Join(errNATSClosed, err)
		}
		b.Log.WarnContext(ctx, "waiting at start", "for", what, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// Run follows the directory, notes what the streams confirm and looks after the streams,
// until ctx ends. It is an error when the connection to NATS is closed before.
func (b *Base) Run(ctx context.Context) error {
	defer b.Acker.Observe(metrics.QueueOperations)()
	defer b.watchConnections()()
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return b.Acker.Run(running) })
	g.Go(func() error { return b.Directory.Run(running) })
	g.Go(func() error { return b.watchNATS(running) })
	g.Go(func() error { return b.keeper.run(running) })
	return g.Wait()
}

// watchNATS ends with ctx, or with an error when NATS can never be reached again.
func (b *Base) watchNATS(ctx context.Context) error {
	closed := b.NATS.StatusChanged(nats.CLOSED)
	defer b.NATS.RemoveStatusListener(closed)
	if !b.NATS.IsClosed() {
		select {
		case <-closed:
		case <-ctx.Done():
			return nil
		}
	}
	return errors.Join(errNATSClosed, b.NATS.LastError())
}

// Close ends the connections; nothing may use the parts any more.
func (b *Base) Close() {
	b.NATS.Close()
	_ = b.Redis.Close()
}

// Checks are the dependencies that a program cannot do all of its work without. NATS
// is not among them: an api without it still accepts, and a worker without it still
// works.
func (b *Base) Checks() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"redis":     b.Store.Ping,
		"directory": func(context.Context) error { return b.Directory.Ready() },
	}
}

// Readiness is what /readyz of a worker asks once it runs. Without Redis it is not ready:
// nothing is routed to a worker, and a rolling update waits before it replaces the next
// one by one that could do nothing.
func (b *Base) Readiness() telemetry.AdminConfig {
	return telemetry.AdminConfig{Checks: b.Checks(), Tolerated: map[string]func(context.Context) error{
		"nats": b.publishes, "streams": b.keeper.check,
	}}
}

// ServingReadiness is what /readyz of an api asks once it serves. more are checks of its
// own. Redis is tolerated: an api without it answers 503 with Retry-After, and if all of
// them left the load balancer, callers would get the balancer's own error instead.
func (b *Base) ServingReadiness(more map[string]func(context.Context) error) telemetry.AdminConfig {
	cfg := b.Readiness()
	maps.Copy(cfg.Checks, more)
	cfg.Tolerated["redis"] = cfg.Checks["redis"]
	delete(cfg.Checks, "redis")
	return cfg
}

func (b *Base) publishes(context.Context) error {
	if !b.publisher.Connected() {
		return b.explain(nats.ErrReconnectBufExceeded)
	}
	return nil
}

// explain is natsq.Explain with why NATS is not reached, also where no server has said anything.
func (b *Base) explain(err error) error {
	err = natsq.Explain(b.NATS, err)
	if why := b.notReached.Load(); why != nil && errors.Is(err, natsq.ErrAway) && b.NATS.LastError() == nil {
		return fmt.Errorf("%w: %w", err, *why)
	}
	return err
}

func (b *Base) parts() work.Parts {
	return work.Parts{
		Store: b.Store, Publisher: b.publisher, Directory: b.Directory, Providers: b.Providers, Log: b.Log,
	}
}
