package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"writeback/internal/webhook"
	"writeback/internal/webhook/journal"
	"writeback/pkg/operation/redisstore"
)

// lastSends is how many sends are shown.
const lastSends = 10

// windowView counts what was sent in a while.
type windowView struct {
	Sends     int `json:"sends"`
	Arrived   int `json:"sends_answered_2xx"`
	Messages  int `json:"messages"`
	Delivered int `json:"messages_delivered"`
	Average   int `json:"average_response_milliseconds"`
}

func viewWindow(w webhook.Window) windowView {
	return windowView{
		Sends: w.Attempts, Arrived: w.Successes, Messages: w.Messages, Delivered: w.Delivered, Average: int(w.AverageResponse().Milliseconds()),
	}
}

// String is a line about it.
func (v windowView) String() string {
	return fmt.Sprintf("%d sends, %d answered with 2xx, %d ms on average; %d messages ended, %d of them delivered", v.Sends, v.Arrived, v.Average, v.Messages, v.Delivered)
}

type sendView struct {
	At      time.Time `json:"at"`
	Message uuid.UUID `json:"message_id"`
	Event   string    `json:"event_name"`
	Status  string    `json:"status"`
	Code    int       `json:"status_code"`
	Problem string    `json:"problem"`
	Took    int       `json:"milliseconds"`
}

type webhookDetail struct {
	webhookView
	Filters   int        `json:"filter_values"`
	CreatedAt time.Time  `json:"created_at"`
	ChangedAt time.Time  `json:"changed_at"`
	StaledAt  *time.Time `json:"staled_at"`
	Average   *float64   `json:"average_success"`
	Hours6    windowView `json:"hours_6"`
	Hours24   windowView `json:"hours_24"`
	Sends     []sendView `json:"last_sends"`
}

func (c *ctl) webhookShow(ctx context.Context, args []string) error {
	_, s, err := c.webhookByID(ctx, args[0])
	if err != nil {
		return err
	}
	rdb, err := c.redis()
	if err != nil {
		return err
	}
	lanes, err := webhookLanes(ctx, redisstore.New(rdb, queues["webhooks"]), []uuid.UUID{s.ID})
	if err != nil {
		return explain(ctx, err)
	}
	j := journal.New(rdb, nil)
	m, err := j.Metrics(ctx, s)
	if err != nil {
		return explain(ctx, err)
	}
	rows, _, err := j.Logs(ctx, webhook.LogQuery{Webhook: s.ID, Limit: lastSends})
	if err != nil {
		return explain(ctx, err)
	}
	v := webhookDetail{
		webhookView: viewWebhook(s, lanes[0], m.DeadLetters), Filters: len(s.Filters.FleetIDs) + len(s.Filters.FleetRefs),
		CreatedAt: s.CreatedAt, ChangedAt: s.ChangedAt, StaledAt: stamp(s.StaledAt), Average: m.AverageSuccess,
		Hours6: viewWindow(m.Hours6), Hours24: viewWindow(m.Hours24), Sends: []sendView{},
	}
	for _, r := range rows {
		v.Sends = append(v.Sends, sendView{
			At: r.CreatedAt, Message: r.Reference.Message, Event: r.Reference.Event, Status: string(r.Status), Code: r.StatusCode, Problem: r.Problem,
			Took: int(r.ResponseTime.Milliseconds()),
		})
	}
	return c.print(v, func(w io.Writer) { writeWebhook(w, v) })
}

func writeWebhook(w io.Writer, v webhookDetail) {
	row(w, "webhook", v.Webhook)
	row(w, "partner", v.Partner)
	row(w, "event", v.Event)
	row(w, "endpoint", v.Endpoint)
	row(w, "filter values", v.Filters)
	row(w, "schedule", v.Schedule)
	row(w, "status", v.Status)
	row(w, "reason", cmp.Or(v.Reason, "-"))
	row(w, "given up", moment(v.StaledAt))
	row(w, "created", when(v.CreatedAt))
	row(w, "changed", when(v.ChangedAt))
	waiting := count(v.Waiting)
	if v.Full != nil && *v.Full {
		waiting += ", no more may: what comes is a dead letter at once"
	}
	row(w, "waiting", waiting)
	row(w, "oldest waiting", moment(v.Oldest))
	row(w, "in flight", count(v.InFlight))
	row(w, "blocked until", moment(v.Blocked))
	row(w, "silent until", moment(v.Silent))
	row(w, "dead letters", v.Dead)
	average := "-"
	if v.Average != nil {
		average = fmt.Sprintf("%.1f %%", 100**v.Average)
	}
	row(w, "moving average", average)
	row(w, "6 hours", v.Hours6)
	row(w, "24 hours", v.Hours24)
	for _, s := range v.Sends {
		outcome := cmp.Or(s.Problem, s.Status)
		row(w, "send", fmt.Sprintf("%s %s message %s: %d, %s, %d ms", when(s.At), s.Event, s.Message, s.Code, outcome, s.Took))
	}
}

// count shows a number that nobody may know.
func count(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}
