package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"writeback/internal/config"
	"writeback/pkg/operation/redisstore"
)

// ctl is one run: where it prints, and the connections that it has opened.
type ctl struct {
	options
	settings      config.Worker
	out, progress io.Writer
	rdb           *redis.Client
	nc            *nats.Conn
	js            jetstream.JetStream
}

var variables = []string{"WRITEBACK_NATS_URL", "WRITEBACK_REDIS_URL", "WRITEBACK_STREAM_REPLICAS", "WRITEBACK_KEYSET_FILE"}

// settings reads the variables that are used here; others may be wrong.
func settings(environ []string) (config.Worker, error) {
	ours := slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !slices.Contains(variables, name)
	})
	cfg, _, err := config.Load[config.Worker](ours)
	return cfg, err
}

// store connects to Redis at first use.
func (c *ctl) store() (*redisstore.Store, error) {
	opt, err := redis.ParseURL(c.settings.RedisURL)
	if err != nil {
		return nil, errors.New("WRITEBACK_REDIS_URL is not a Redis URL") // the cause would show a password
	}
	opt.ClientName, opt.ContextTimeoutEnabled, opt.MaxRetries = "writebackctl", true, 1
	opt.DialTimeout = 5 * time.Second
	c.rdb = redis.NewClient(opt)
	return redisstore.New(c.rdb, redisstore.Config{}), nil
}

// streams connects to NATS at first use.
func (c *ctl) streams() (jetstream.JetStream, error) {
	if c.js != nil {
		return c.js, nil
	}
	nc, err := nats.Connect(c.settings.NATSURL, nats.Name("writebackctl"), nats.Timeout(5*time.Second), nats.NoReconnect())
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

func (c *ctl) close() {
	if c.nc != nil {
		c.nc.Close()
	}
	if c.rdb != nil {
		_ = c.rdb.Close()
	}
}

// print prints the value as JSON if asked, else what text writes, in columns.
func (c *ctl) print(value any, text func(w io.Writer)) error {
	if c.json {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(value)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// row writes one line of columns.
func row(w io.Writer, columns ...any) {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = fmt.Sprint(c)
	}
	_, _ = fmt.Fprintln(w, strings.Join(texts, "\t"))
}

func id(what, text string) (uuid.UUID, error) {
	v, err := uuid.Parse(text)
	if err != nil {
		return v, wrongUsage("%s %q is not a UUID", what, text)
	}
	return v, nil
}

// explain says what the store's errors mean to an operator.
func explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("redis: %w", context.Cause(ctx))
	case errors.Is(err, redisstore.ErrStale):
		return errors.New("the shard has no data or is being rebuilt; see: writebackctl shards")
	case errors.Is(err, redisstore.ErrMissing):
		return errors.New("not found")
	default:
		return fmt.Errorf("redis: %w", err)
	}
}

// when shows a time, or a dash.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// stamp is a time in JSON: null when there is none.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func short(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }
