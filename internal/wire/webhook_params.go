package wire

import (
	"net/url"
	"time"

	"github.com/google/uuid"
)

// ListWebhooks are the parameters of the list of webhooks. Empty values select all
// but the deleted.
type ListWebhooks struct {
	EventName, Status string
	Size              int
}

// ListWebhookLogs are the parameters of a webhook's log. Zero values select all.
type ListWebhookLogs struct {
	// From is inclusive, To exclusive.
	From, To time.Time
	Status   string
	Size     int
}

// ReplayWebhook is what is to be sent once more. Zero values select all dead
// letters.
type ReplayWebhook struct {
	From, To time.Time
	Status   string
	Messages []uuid.UUID
}

// ParseListWebhooks reads the parameters of the list of webhooks. The error is an
// *operation.Error with every fault.
func ParseListWebhooks(q url.Values) (ListWebhooks, string, error) {
	p := params{q: q}
	out := ListWebhooks{EventName: p.enum("event_name", WebhookEventNames), Status: p.enum("status", WebhookStatuses)}
	size, cursor := p.page()
	out.Size = size
	return out, cursor, p.err()
}

// ParseListWebhookLogs reads the parameters of a webhook's log. The error is an
// *operation.Error with every fault.
func ParseListWebhookLogs(q url.Values) (ListWebhookLogs, string, error) {
	p := params{q: q}
	var out ListWebhookLogs
	out.From, out.To = p.dates()
	out.Status = p.enum("status", WebhookLogStatuses)
	size, cursor := p.page()
	out.Size = size
	return out, cursor, p.err()
}

// ParseReplayWebhook reads what a replay selects. The error is an *operation.Error
// with every fault.
func ParseReplayWebhook(q url.Values) (ReplayWebhook, error) {
	p := params{q: q}
	var out ReplayWebhook
	out.From, out.To = p.dates()
	out.Status = p.enum("status", WebhookLogStatuses)
	out.Messages = p.uuids("message_ids")
	return out, p.err()
}

// ParseTail reads where a live tail goes on. Empty: at the present.
func ParseTail(q url.Values) (lastEventID string, err error) {
	p := params{q: q}
	after := p.text("last_event_id")
	return after, p.err()
}

// dates reads the bounds of a window that may be open on both sides.
func (p *params) dates() (from, to time.Time) {
	from, to = p.time("start_date"), p.time("end_date")
	if !from.IsZero() && !to.IsZero() && from.After(to) {
		p.fault("start_date", p.q.Get("start_date"), "must not be after end_date", "datetime_order")
	}
	return from, to
}
