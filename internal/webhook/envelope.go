package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"writeback/internal/wire"
	"writeback/pkg/operation"
	receive "writeback/pkg/webhook"
)

// subject is what the one entry of an event's data is made from.
type subject struct {
	operation operation.Operation
	webhook   Subscription
}

// staled is the data of a webhook.staled event.
type staled struct {
	ID        uuid.UUID `json:"id"`
	PartnerID uuid.UUID `json:"partner_id"`
	URL       string    `json:"url"`
	EventName string    `json:"event_name"`
	Filters   *Filters  `json:"filters"`
	Secret    string    `json:"secret"`
	Status    Status    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// Reason is ours and not the contract's.
	Reason string `json:"reason,omitempty"`
}

// envelope gives the body of one attempt, before compression.
func envelope(s Subscription, r Reference, about subject, attempt int) ([]byte, error) {
	data, err := plain(about.data(r))
	if err != nil {
		return nil, fmt.Errorf("webhook: data: %w", err)
	}
	body, err := plain(receive.Event{
		Version: receive.Version, ID: r.Message.String(), EventName: r.Event, WebhookID: s.ID.String(),
		Timestamp: wire.Stamp(r.At), DeliveryAttempt: attempt, Data: []json.RawMessage{data},
	})
	if err != nil {
		return nil, fmt.Errorf("webhook: envelope: %w", err)
	}
	return body, nil
}

func (a subject) data(r Reference) any {
	switch r.Event {
	case EventStaled:
		s := a.webhook
		d := staled{
			ID: r.Webhook, PartnerID: s.PartnerID, URL: s.MaskedURL(), EventName: s.EventName, Secret: mask,
			Status: Stale, CreatedAt: wire.Stamp(s.CreatedAt), UpdatedAt: wire.Stamp(r.At), Reason: s.StaleReason,
		}
		if !s.Filters.IsZero() {
			d.Filters = &s.Filters
		}
		return d
	case EventCreated:
		return wire.ReadView(asAccepted(a.operation))
	default:
		return wire.ReadView(a.operation)
	}
}

// asAccepted is the operation as it was when it was accepted.
func asAccepted(op operation.Operation) operation.Operation {
	return operation.Operation{
		Accepted: op.Accepted, Place: op.Place, UpdatedAt: op.CreatedAt(), Status: operation.Pending,
		Attempts: []operation.Attempt{},
	}
}

// plain is JSON without the escapes meant for HTML pages.
func plain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
