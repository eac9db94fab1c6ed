package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/directory"
	"writeback/internal/natsq"
	"writeback/internal/seal"
	"writeback/internal/webhook/registry"
)

// sealedView is how many secrets of one kind were sealed anew.
type sealedView struct {
	Sealed    int `json:"sealed"`
	Unchanged int `json:"unchanged"`
}

// rotateKey seals everything that is sealed under the primary key. What cannot be
// opened is in the error, after all else was done.
func (c *ctl) rotateKey(ctx context.Context, _ []string) error {
	d, _, err := c.directory(ctx)
	if err != nil {
		return err
	}
	var n directory.Count
	err = c.busy(ctx, "sealing credentials", func(ctx context.Context) (err error) {
		n, err = d.Reseal(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("%d connections were sealed, %d were already: %w", n.Updated, n.Unchanged, err)
	}
	var hooks sealedView
	err = c.busy(ctx, "sealing webhook secrets", func(ctx context.Context) (err error) {
		hooks, err = c.sealWebhooks(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("%d connections were sealed, %d were already; %d webhooks were sealed, of others: %w", n.Updated, n.Unchanged, hooks.Sealed, err)
	}
	counts := map[string]sealedView{"credentials": {n.Updated, n.Unchanged}, "webhooks": hooks}
	return c.print(counts, func(w io.Writer) {
		row(w, "", "SEALED", "UNCHANGED")
		row(w, "credentials", n.Updated, n.Unchanged)
		row(w, "webhooks", hooks.Sealed, hooks.Unchanged)
	})
}

// sealWebhooks does what a worker does by itself now and then.
func (c *ctl) sealWebhooks(ctx context.Context) (sealedView, error) {
	kv, err := c.js.KeyValue(ctx, registry.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return sealedView{}, nil
	}
	if err != nil {
		return sealedView{}, fmt.Errorf("NATS: %w", err)
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return sealedView{}, fmt.Errorf("NATS: %w", err)
	}
	sealer, err := c.webhookSealer(ctx)
	if err != nil {
		return sealedView{}, err
	}
	cfg := registry.Config{}
	if s, ok := status.(*jetstream.KeyValueBucketStatus); ok {
		cfg.Replicas = s.StreamInfo().Config.Replicas // as it is
	}
	r, err := registry.Open(ctx, c.js, sealer, func(*url.URL) error { return nil }, cfg)
	if err != nil {
		return sealedView{}, err
	}
	before := map[uuid.UUID]uint64{}
	for _, s := range r.All() {
		before[s.ID] = s.Revision
	}
	err = r.Sweep(ctx)
	var v sealedView
	for _, s := range r.All() {
		if s.Revision != before[s.ID] {
			v.Sealed++
		} else {
			v.Unchanged++
		}
	}
	return v, err
}

// webhookSealer also opens what was sealed before there was a keyset.
func (c *ctl) webhookSealer(ctx context.Context) (*seal.Sealer, error) {
	s, err := c.sealer()
	if err != nil || s == nil {
		return s, err
	}
	generated, err := natsq.ReadKey(ctx, c.js, seal.DevelopmentBucket, seal.DevelopmentKey)
	if err != nil {
		return nil, err
	}
	return s.After(generated)
}
