package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"writeback/internal/admission"
	"writeback/internal/auth"
	"writeback/internal/config"
	"writeback/internal/httpapi"
	"writeback/internal/natsq"
	"writeback/internal/tail"
	"writeback/internal/telemetry"
	"writeback/internal/wire"
	"writeback/internal/work"
)

// API is the partner API with what has to run beside it.
type API struct {
	// Handler serves the API.
	Handler  http.Handler
	accepter *work.Accepter
	webhooks *Webhooks
	tail     *tail.Hub
}

// Follow keeps the copy of the webhooks up to date until ctx ends; it must run as long
// as requests are served.
func (a *API) Follow(ctx context.Context) error { return a.webhooks.Run(ctx, nil) }

// FollowOffers learns which workers have free slots, until ctx ends. Without it operations
// take longer to their first attempt.
func (a *API) FollowOffers(ctx context.Context) error {
	a.accepter.FollowOffers(ctx)
	return nil
}

// Checks are what readiness asks of the API besides the shared parts: an api that does
// not follow the webhooks would not show what another one has made.
func (a *API) Checks() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"webhooks": func(context.Context) error { return a.webhooks.Registry.Ready() },
	}
}

// Tail feeds the live tails until ctx ends, and then ends them: the server does not
// stop before they have.
func (a *API) Tail(ctx context.Context) error { return a.tail.Run(ctx) }

// NewAPI makes the partner API on the shared parts.
func NewAPI(ctx context.Context, b *Base, cfg config.API, verifier *auth.Verifier) (*API, error) {
	key, err := b.cursorKey(ctx, cfg.CursorKey, cfg.Replicas)
	if err != nil {
		return nil, err
	}
	webhooks, err := OpenWebhooks(ctx, b, cfg.Webhooks, cfg.Replicas)
	if err != nil {
		return nil, err
	}
	accepter := work.NewAccepter(b.parts(), work.Config{}, b.Acker)
	api := &API{accepter: accepter, webhooks: webhooks, tail: tail.New(natsq.NewTail(b.JetStream), tail.Config{}, b.Log)}
	api.Handler, err = httpapi.New(httpapi.Deps{
		Verifier: verifier, Directory: b.Directory, Providers: b.Providers,
		Accepter: accepter, Reader: work.NewReader(b.Store, b.Log),
		Admission: admission.New(depths{b}, admission.Config{
			PerSecond: float64(cfg.PartnerRate), Burst: cfg.PartnerBurst, Outstanding: cfg.PartnerOutstanding,
		}),
		Webhooks: webhooks.Registry, Records: webhooks.Records, Tail: api.tail,
		Cursors: wire.NewCursors(key), Log: b.Log,
	}, httpapi.Config{Decode: wire.DecodeOptions{Strict: cfg.StrictBodies}})
	if err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	return api, nil
}

// depths counts what the connections of a partner have outstanding.
type depths struct{ base *Base }

// Outstanding counts a partner's operations that have not ended.
func (d depths) Outstanding(ctx context.Context, partner uuid.UUID) (int, error) {
	connections := d.base.Directory.Connections(partner)
	ids := make([]uuid.UUID, len(connections))
	for i, c := range connections {
		ids[i] = c.ID
	}
	return d.base.Store.Outstanding(ctx, ids)
}

// WatchShards starts shards that nobody has started, until ctx ends, so that an
// api can accept before the first worker runs.
func (b *Base) WatchShards(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	log := telemetry.Seldom(b.Log.With("redis", b.Store.Address()))
	for {
		if err := b.startShards(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "looking for new shards", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (b *Base) startShards(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	found, err := b.Store.Poll(asking, 0) // it also notices a shard that went back in time
	cancel()
	if len(found.Missing) == 0 {
		return err
	}
	// It takes as long as the streams are long; cut off, it would keep others from it.
	return errors.Join(err, b.Restorer.Restore(ctx, found.Missing))
}
