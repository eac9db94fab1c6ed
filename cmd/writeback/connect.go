package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"writeback/internal/config"
	"writeback/internal/directory"
	"writeback/internal/natsq"
	"writeback/internal/redisurl"
	"writeback/internal/seal"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/all"
)

const clientName = "writeback"

// ctl is one run: its flags and settings, where it prints, and the connections that
// it has opened.
type ctl struct {
	sources     config.Sources
	settings    config.Operator
	json        bool
	timeout     time.Duration
	out, errOut io.Writer
	rdb         redis.UniversalClient
	nc          *nats.Conn
	js          jetstream.JetStream
	// idle closes what the API client keeps open. Nil: there is none.
	idle func()
}

// configure reads the settings. What is wrong with a variable that only api or
// worker reads is not our fault to find; doctor finds it.
func (c *ctl) configure() error {
	settings, _, err := config.Read[config.Operator](c.sources)
	c.settings = settings
	faults, rest := config.Faults(err)
	ours, known := config.Names[config.Operator](), config.Known()
	for _, f := range faults {
		if slices.Contains(ours, f.Name) || !slices.Contains(known, f.Name) {
			rest = errors.Join(rest, f)
		}
	}
	if rest != nil {
		return wrongUsage("configuration: %s", rest)
	}
	return nil
}

// redis connects to Redis at first use.
func (c *ctl) redis() (redis.UniversalClient, error) {
	if c.rdb == nil {
		rdb, err := redisurl.Open(c.settings.RedisURL, c.settings.RedisOptions(clientName, true))
		if err != nil {
			return nil, fmt.Errorf("WRITEBACK_REDIS_URL: %w", err)
		}
		rdb.AddHook(patience{})
		c.rdb = rdb
	}
	return c.rdb, nil
}

// redisPatience bounds one call of Redis with all its connecting, tries and redirects: by
// its own limits the client needs half a minute to give up a server that hangs.
const redisPatience = 4 * time.Second

var errSilent = fmt.Errorf("no answer within %s: it hangs, or cannot be reached from here; see: writeback doctor", redisPatience)

// patience is the hook that ends calls so and says it.
type patience struct{}

// DialHook changes nothing.
func (patience) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook bounds a command.
func (patience) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		_, err := patiently(ctx, func(ctx context.Context) error { return next(ctx, cmd) })
		return err
	}
}

// ProcessPipelineHook bounds a pipeline, whose commands have errors of their own.
func (patience) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		silent, err := patiently(ctx, func(ctx context.Context) error { return next(ctx, cmds) })
		for _, cmd := range cmds {
			if silent && cmd.Err() != nil {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

func patiently(ctx context.Context, call func(context.Context) error) (silent bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	if err = call(bounded); err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return true, errSilent
	}
	return false, err
}

func (c *ctl) store() (*redisstore.Store, error) {
	rdb, err := c.redis()
	if err != nil {
		return nil, err
	}
	return redisstore.New(rdb, redisstore.Config{}), nil
}

// streams connects to NATS at first use.
func (c *ctl) streams() (jetstream.JetStream, error) {
	if c.js != nil {
		return c.js, nil
	}
	s := c.settings
	nc, err := nats.Connect(s.NATSURL, append(natsq.Identity(s.NATSCredsFile, s.TLSCertFile, s.TLSKeyFile),
		nats.Name(clientName), nats.Timeout(5*time.Second), nats.NoReconnect())...)
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	c.nc = nc
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	c.js = js
	return js, nil
}

// sealer is what seals secrets. Nil: they are in clear.
func (c *ctl) sealer() (*seal.Sealer, error) {
	if c.settings.KeysetFile == "" {
		return nil, nil
	}
	s, err := seal.Load(c.settings.KeysetFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", directory.KeysetVariable, err)
	}
	return s, nil
}

// directory opens the directory without its users, with the keyset, if there is one. It makes
// none.
func (c *ctl) directory(ctx context.Context) (*directory.Directory, *tsp.Registry, error) {
	return c.existing(ctx, directory.Config{NoUsers: true})
}

func (c *ctl) existing(ctx context.Context, cfg directory.Config) (*directory.Directory, *tsp.Registry, error) {
	cfg.Existing = true
	d, providers, err := c.openDirectory(ctx, cfg)
	if errors.Is(err, directory.ErrNone) {
		err = errors.New("there is no directory: no api or worker has run on this NATS, or its data is lost; see: writeback doctor")
	}
	return d, providers, err
}

func (c *ctl) openDirectory(ctx context.Context, cfg directory.Config) (*directory.Directory, *tsp.Registry, error) {
	js, err := c.streams()
	if err != nil {
		return nil, nil, err
	}
	providers, err := all.Providers(all.Config{})
	if err != nil {
		return nil, nil, fmt.Errorf("providers: %w", err)
	}
	cfg.Replicas, cfg.Providers, cfg.AsItIs = c.settings.Replicas, providers.Names(), true
	switch s, err := c.sealer(); {
	case err != nil:
		return nil, nil, err
	case s != nil:
		cfg.Sealer = s
	}
	var d *directory.Directory
	err = c.busy(ctx, "reading the directory", func(ctx context.Context) (err error) {
		d, err = directory.Open(ctx, js, cfg)
		return err
	})
	return d, providers, err
}

func (c *ctl) close() {
	if c.idle != nil {
		c.idle()
	}
	if c.nc != nil {
		c.nc.Close()
	}
	if c.rdb != nil {
		_ = c.rdb.Close()
	}
}

// explain says what the store's errors mean to an operator.
func explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("redis: %w", context.Cause(ctx))
	case errors.Is(err, redisstore.ErrStale):
		return errors.New("the shard has no data or is being rebuilt; see: writeback shards")
	case errors.Is(err, redisstore.ErrMissing):
		return errors.New("there is no such operation on this connection")
	case errors.Is(err, redisstore.ErrUnreadable):
		return fmt.Errorf("%w; the runbook says how to have it again: docs/runbook.md#a-record-that-cannot-be-read", err)
	default:
		return fmt.Errorf("redis: %w", err)
	}
}
