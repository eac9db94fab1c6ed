package app

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"writeback/internal/admission"
	"writeback/internal/config"
	"writeback/internal/egress"
	"writeback/internal/metrics"
	"writeback/internal/natsq"
	"writeback/internal/telemetry"
	"writeback/internal/webhook"
	"writeback/internal/webhook/journal"
	"writeback/internal/webhook/registry"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// Webhooks is what api and worker share of the webhooks.
type Webhooks struct {
	// Registry has the subscriptions, for partners to list and change.
	Registry *registry.Registry
	// Records are metrics, logs and replays.
	Records *webhook.Records

	base    *Base
	guard   *egress.Guard
	journal *journal.Journal
	queue   *redisstore.Store
	acker   *work.Acker
	fanout  *webhook.Fanout
	ends    webhook.Ends
}

// queuePrefix starts the keys of deliveries, as "wb" starts those of operations.
const queuePrefix = "wh"

// deliveredTTL is how long an ended delivery is remembered, so that an event that is
// told twice is delivered once.
const deliveredTTL = 2 * time.Hour

// OpenWebhooks makes the streams and the bucket of webhooks and reads the
// subscriptions. What is not there yet is waited for until ctx ends.
func OpenWebhooks(ctx context.Context, b *Base, cfg config.Webhooks, replicas int) (*Webhooks, error) {
	proxy, err := egressProxy(cfg.EgressProxy)
	if err != nil {
		return nil, err
	}
	guard := egress.Config{Open: cfg.WebhookLocal, PerHost: webhook.DefaultInFlight, Proxy: proxy}
	if cfg.WebhookLocal {
		b.Log.WarnContext(ctx, "WRITEBACK_WEBHOOK_LOCAL is set: webhook endpoints may be http and have private addresses; for development only")
	}
	w := &Webhooks{base: b, guard: egress.New(guard)}
	sealer, err := b.webhookSealer(ctx, cfg.KeysetFile, replicas)
	if err != nil {
		return nil, err
	}
	err = b.await(ctx, "webhook streams", func(ctx context.Context) error {
		return natsq.EnsureWebhooks(ctx, b.JetStream, natsq.WebhookConfig{Replicas: replicas, Log: b.Log})
	})
	if err != nil {
		return nil, err
	}
	err = b.persist(ctx, "webhooks", func(ctx context.Context) error {
		w.Registry, err = registry.Open(ctx, b.JetStream, sealer, w.guard.CheckURL, registry.Config{Replicas: replicas, Logger: b.Log})
		return err
	})
	if err != nil {
		return nil, err
	}
	w.join()
	return w, nil
}

func (w *Webhooks) join() {
	b := w.base
	w.journal = journal.New(b.Redis, nil)
	w.queue = redisstore.New(b.Redis, redisstore.Config{
		Prefix: queuePrefix, Unlisted: true, RecordTTL: deliveredTTL, LaneBound: webhook.MostWaiting, Margin: 2 * time.Second,
		BreakerThreshold: webhook.SilentSends, BreakerOpen: webhook.SilentPause,
	})
	w.acker = work.NewAcker(w.queue, b.Log)
	w.ends = webhook.Ends{Publisher: natsq.NewDeliveries(b.publisher), Dead: w.journal}
	waiting := admission.New(w, admission.Config{Outstanding: webhook.MostOfPartner})
	w.fanout = &webhook.Fanout{
		Subscriptions: w.Registry, Queue: w.queue, Publisher: w.ends, Note: w.acker.Note, Dead: w.journal, Log: telemetry.Seldom(b.Log),
		Fleet: func(connection uuid.UUID) (id uuid.UUID, ref string, known bool) {
			c, ok := b.Directory.ConnectionByID(connection)
			return c.FleetID, c.FleetRef, ok
		},
		Room: func(ctx context.Context, partner uuid.UUID) bool { return waiting.Room(ctx, partner, 1) == nil },
	}
	w.Records = &webhook.Records{Owned: w.Registry, Journal: w.journal, Fanout: w.fanout}
}

// Outstanding counts the deliveries that wait for a partner's endpoints.
func (w *Webhooks) Outstanding(ctx context.Context, partner uuid.UUID) (int, error) {
	subs, _, err := w.Registry.List(ctx, partner, webhook.Query{Limit: math.MaxInt})
	if err != nil {
		return 0, err
	}
	ids := make([]uuid.UUID, len(subs))
	for i, s := range subs {
		ids[i] = s.ID
	}
	return w.queue.Outstanding(ctx, ids)
}

// Run follows the subscriptions and notes what the streams confirm, until ctx ends.
// changed is called for every subscription that is new to this process or was
// changed; nil is nobody.
func (w *Webhooks) Run(ctx context.Context, changed func(webhook.Subscription)) error {
	defer w.acker.Observe(metrics.QueueWebhooks)()
	var g errgroup.Group
	g.Go(func() error { return w.acker.Run(ctx) })
	g.Go(func() error { return w.Registry.Run(ctx, changed) })
	return g.Wait()
}

// RunWebhooks tells partners what happens until ctx ends, then lets sends under way
// finish within the grace. works is called once it has what it waits for.
func RunWebhooks(ctx context.Context, b *Base, cfg config.Worker, works func()) error {
	w, err := OpenWebhooks(ctx, b, cfg.Webhooks, cfg.Replicas)
	var restorer *work.Restorer
	if err == nil {
		restorer = w.restorer()
		err = b.persist(ctx, "comparing deliveries with the streams", restorer.Verify)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	works()
	client := w.guard.Client(webhook.SendTimeout)
	defer client.CloseIdleConnections()
	return w.deliver(ctx, cfg, client, restorer)
}

func (w *Webhooks) deliver(ctx context.Context, cfg config.Worker, client *http.Client, restorer *work.Restorer) error {
	b := w.base
	attempt := &webhook.Attempter{
		Endpoints: w.Registry, Operations: b.Store, Queue: w.queue, Diary: w.journal, Client: client, Log: b.Log,
	}
	attempt.Prepare()
	worker := work.NewLaneWorker(
		work.Parts{Store: w.queue, Publisher: w.ends, Log: b.Log},
		work.Config{Concurrency: cfg.Concurrency, Grace: callGrace(cfg), Poll: 200 * time.Millisecond},
		w.acker, restorer, work.Lanes{
			Queue: metrics.QueueWebhooks, Limits: w.fanout.Limits,
			Attempt: attempt,
		})
	w.fanout.Look = worker.Look
	keeper := webhook.NewKeeper(w.Registry, w.queue, w.fanout, b.Log)

	// Confirmations of the last sends are noted after the last send.
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, working := errgroup.WithContext(ctx)
	g.Go(func() error { return w.Run(lasting, keeper.Changed) })
	g.Go(func() error { return keeper.Run(working) })
	g.Go(func() error {
		defer end()
		return worker.Run(working, feed{natsq.NewFeed(b.JetStream, b.Log), w.fanout})
	})
	return g.Wait()
}

// feed is a source of a worker that wakes it by no message: fanning out does.
type feed struct {
	*natsq.Feed
	fanout *webhook.Fanout
}

// Run fans events out until ctx ends.
func (f feed) Run(ctx context.Context, _ natsq.Pass) error {
	return f.Feed.Run(ctx, f.fanout.Created, f.fanout.Ended)
}

func (w *Webhooks) restorer() *work.Restorer {
	return work.NewRestorer(w.queue, natsq.NewDeliveryHistory(w.base.JetStream, w.base.Log), work.RestoreConfig{
		Queue:  metrics.QueueWebhooks,
		Recent: webhook.QueueFor + time.Hour,
		LongestCalls: func() (all [operation.Shards]time.Duration) {
			for shard := range all {
				all[shard] = webhook.Call
			}
			return all
		},
	}, w.base.Log)
}
