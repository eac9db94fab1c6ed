package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"writeback/internal/webhook"
	"writeback/internal/webhook/registry"
	"writeback/pkg/operation/redisstore"
)

const exampleWebhook = " 00000000-0000-7000-8000-0000000000f1"

const statusesInWords = string(webhook.Active) + ", " + string(webhook.Paused) + " or " + string(webhook.Stale)

var webhookStatuses = []string{string(webhook.Active), string(webhook.Paused), string(webhook.Stale)}

func (c *ctl) webhookCommands() *cobra.Command {
	var q webhookQuery
	return c.group("webhook", "Partners' webhooks: what waits for them, and why",
		c.command(spec{
			use: "list", short: "The webhooks for which something waits or has died, and those that get nothing",
			long: "An endpoint that answers 429 or 503 may say for how long it is held. One that has left many sends in a row without an answer gets one at a time; its\n" +
				"next is then not before SILENT UNTIL. With --all also those that are well, and have all that they were to be told.",
			example: "writeback webhook list\nwriteback webhook list --partner 00000000-0000-7000-8000-0000000000b1 --status stale --all --json",
			timeout: 2 * time.Minute,
			flags: func(f *pflag.FlagSet) {
				f.BoolVar(&q.all, "all", false, "also those that are well")
				f.StringVar(&q.partner, "partner", "", "only this partner's")
				f.StringVar(&q.status, "status", "", "only those that are "+statusesInWords)
			},
			values: map[string]cobra.CompletionFunc{"status": cobra.FixedCompletions(webhookStatuses, cobra.ShellCompDirectiveNoFileComp)},
			run:    func(ctx context.Context, _ []string) error { return c.webhookList(ctx, q) },
		}),
		c.command(spec{
			use: "show <webhook_id>", short: "A webhook's status and queue, what became of its deliveries, and its last sends", first: c.completeWebhooks,
			long:    "The end of its URL is masked, and its secret is not shown.",
			example: "writeback webhook show" + exampleWebhook, run: c.webhookShow,
		}),
		c.command(spec{
			use: "pause <webhook_id>", short: "Send it nothing; events wait, and are sent when it is active again", first: c.completeWebhooks,
			long:    "As if its partner had asked for it, who reads it as paused and may make it active again.",
			example: "writeback webhook pause" + exampleWebhook,
			run: func(ctx context.Context, args []string) error {
				return c.setWebhook(ctx, args, (*registry.Registry).Pause)
			},
		}),
		c.command(spec{
			use: "activate <webhook_id>", short: "Send what waits for a paused or stale webhook, and what comes", first: c.completeWebhooks,
			long:    "As if its partner had asked for it. An endpoint that does not work yet is soon given up again.",
			example: "writeback webhook activate" + exampleWebhook,
			run: func(ctx context.Context, args []string) error {
				return c.setWebhook(ctx, args, (*registry.Registry).Activate)
			},
		}),
	)
}

// webhookView is a webhook as it is printed: no secret. What a lane says is null while its
// shard has no data.
type webhookView struct {
	Webhook  uuid.UUID  `json:"webhook_id"`
	Partner  uuid.UUID  `json:"partner_id"`
	Event    string     `json:"event_name"`
	Endpoint string     `json:"endpoint"`
	Status   string     `json:"status"`
	Reason   string     `json:"stale_reason"`
	Schedule string     `json:"schedule"`
	Waiting  *int       `json:"waiting"`
	Full     *bool      `json:"full"`
	InFlight *int       `json:"in_flight"`
	Oldest   *time.Time `json:"oldest_waiting_since"`
	Blocked  *time.Time `json:"blocked_until"`
	Silent   *time.Time `json:"silent_until"`
	Dead     int        `json:"dead_letters"`
}

// viewWebhook shows a subscription with what its lane holds. Nil: nobody knows.
func viewWebhook(s webhook.Subscription, l *redisstore.Lane, dead int) webhookView {
	v := webhookView{
		Webhook: s.ID, Partner: s.PartnerID, Event: s.EventName, Endpoint: s.MaskedURL(), Status: string(s.Status), Reason: s.StaleReason,
		Schedule: string(s.Schedule), Dead: dead,
	}
	if l == nil {
		return v
	}
	full, lane := l.Outstanding >= webhook.MostWaiting, viewLane(*l)
	v.Waiting, v.Full, v.InFlight, v.Oldest, v.Blocked, v.Silent = &lane.Outstanding, &full, &lane.InFlight, lane.Oldest, lane.Blocked, lane.Breaker
	return v
}

// errNoWebhook is for an id that there is not, or not any more.
var errNoWebhook = errors.New("there is no such webhook; see: writeback webhook list --all")

// webhooks reads the subscriptions.
func (c *ctl) webhooks(ctx context.Context) (*registry.Registry, error) {
	js, err := c.streams()
	if err != nil {
		return nil, err
	}
	var r *registry.Registry
	err = c.busy(ctx, "reading webhooks", func(ctx context.Context) (err error) {
		r, err = registry.Existing(ctx, js)
		return err
	})
	if errors.Is(err, registry.ErrNone) {
		err = errors.New("there are no webhooks: no worker with the role webhooks, and no api, has run on this NATS, or its data is lost; see: writeback doctor")
	}
	return r, err
}

func (c *ctl) webhookByID(ctx context.Context, text string) (*registry.Registry, webhook.Subscription, error) {
	wanted, err := id("webhook_id", text)
	if err != nil {
		return nil, webhook.Subscription{}, err
	}
	r, err := c.webhooks(ctx)
	if err != nil {
		return nil, webhook.Subscription{}, err
	}
	s, ok, err := r.Find(ctx, wanted)
	switch {
	case err != nil:
		return nil, s, fmt.Errorf("NATS: %w", err)
	case !ok || s.Status == webhook.Deleted:
		return nil, s, errNoWebhook
	}
	return r, s, nil
}

type webhookChange func(r *registry.Registry, ctx context.Context, partner, id uuid.UUID) (webhook.Subscription, error)

func (c *ctl) setWebhook(ctx context.Context, args []string, change webhookChange) error {
	r, s, err := c.webhookByID(ctx, args[0])
	if err != nil {
		return err
	}
	after, err := change(r, ctx, s.PartnerID, s.ID)
	if err != nil {
		return err
	}
	return c.print(map[string]any{"webhook_id": after.ID, "status": after.Status}, func(w io.Writer) { row(w, after.Status, after.ID) })
}

// completeWebhooks offers the webhooks that there are, for a shell.
func (c *ctl) completeWebhooks(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.completeIDs(cmd, args, func(ctx context.Context) (map[string]string, error) {
		r, err := c.webhooks(ctx)
		if err != nil {
			return nil, err
		}
		out := map[string]string{}
		for _, s := range r.All() {
			if s.Status != webhook.Deleted {
				out[s.ID.String()] = s.EventName + " " + string(s.Status)
			}
		}
		return out, nil
	})
}
