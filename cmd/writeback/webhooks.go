package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"writeback/internal/webhook"
	"writeback/internal/webhook/journal"
	"writeback/pkg/operation/redisstore"
)

// webhookQuery selects webhooks. Empty texts select all.
type webhookQuery struct {
	all             bool
	partner, status string
}

func (c *ctl) webhookList(ctx context.Context, q webhookQuery) error {
	subs, err := c.selectWebhooks(ctx, q)
	if err != nil {
		return err
	}
	rdb, err := c.redis()
	if err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(subs))
	for i, s := range subs {
		ids[i] = s.ID
	}
	var lanes []*redisstore.Lane
	var dead []int
	err = c.busy(ctx, "reading queues", func(ctx context.Context) (err error) {
		if dead, err = journal.New(rdb, nil).CountDead(ctx, ids); err != nil {
			return err
		}
		lanes, err = webhookLanes(ctx, redisstore.New(rdb, queues["webhooks"]), ids)
		return err
	})
	if err != nil {
		return explain(ctx, err)
	}
	views, closed := []webhookView{}, 0
	for i, s := range subs {
		if lanes[i] == nil {
			closed++
		} else if !q.all && s.Status == webhook.Active && idle(pausedBySubscription(*lanes[i])) && dead[i] == 0 {
			continue
		}
		views = append(views, viewWebhook(s, lanes[i], dead[i]))
	}
	slices.SortFunc(views, func(a, b webhookView) int {
		return cmp.Or(cmp.Compare(known(b.Waiting), known(a.Waiting)), cmp.Compare(b.Dead, a.Dead), cmp.Compare(a.Webhook.String(), b.Webhook.String()))
	})
	if closed > 0 {
		c.say("what waits for %d webhooks cannot be told, since their shards have no data or are being rebuilt; see: writeback shards --queue webhooks", closed)
	}
	return c.print(views, func(w io.Writer) { writeWebhooks(w, views) })
}

// selectWebhooks gives those that have not been deleted.
func (c *ctl) selectWebhooks(ctx context.Context, q webhookQuery) ([]webhook.Subscription, error) {
	var partner uuid.UUID
	if q.partner != "" {
		var err error
		if partner, err = id("--partner", q.partner); err != nil {
			return nil, err
		}
	}
	if q.status != "" && !slices.Contains(webhookStatuses, q.status) {
		return nil, wrongUsage("--status must be %s", statusesInWords)
	}
	r, err := c.webhooks(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(r.All(), func(s webhook.Subscription) bool {
		return s.Status == webhook.Deleted || partner != uuid.Nil && s.PartnerID != partner || q.status != "" && string(s.Status) != q.status
	}), nil
}

// pausedBySubscription takes a pause out of a lane: of a webhook the subscription says it.
func pausedBySubscription(l redisstore.Lane) redisstore.Lane {
	l.Paused = false
	return l
}

func known(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// webhookLanes reads the queues of webhooks. Nil stands for one whose shard has no data.
func webhookLanes(ctx context.Context, store *redisstore.Store, ids []uuid.UUID) ([]*redisstore.Lane, error) {
	lanes := make([]*redisstore.Lane, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lanesAtOnce)
	for i, id := range ids {
		g.Go(func() error {
			l, err := store.Lane(ctx, id)
			switch {
			case errors.Is(err, redisstore.ErrStale):
			case err == nil, errors.Is(err, redisstore.ErrMissing): // nothing was ever told to it
				lanes[i] = &l
			default:
				return err
			}
			return nil
		})
	}
	return lanes, g.Wait()
}

func writeWebhooks(w io.Writer, views []webhookView) {
	row(w, "WEBHOOK", "PARTNER", "EVENT", "STATUS", "WAITING", "OLDEST", "IN FLIGHT", "BLOCKED UNTIL", "SILENT UNTIL", "DEAD", "ENDPOINT")
	for _, v := range views {
		waiting := count(v.Waiting)
		if v.Full != nil && *v.Full {
			waiting += " (full)"
		}
		row(w, v.Webhook, v.Partner, v.Event, v.Status, waiting, moment(v.Oldest), count(v.InFlight), moment(v.Blocked), moment(v.Silent), v.Dead, v.Endpoint)
	}
}
