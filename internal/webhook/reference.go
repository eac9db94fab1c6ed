package webhook

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Reference is what a delivery is about: enough to build the event when it is sent,
// so that a hundred thousand waiting deliveries hold no bodies.
type Reference struct {
	// Message is the event's stable id: the same for every attempt, every replay and
	// every subscription.
	Message uuid.UUID `json:"m"`
	Event   string    `json:"e"`
	// At is when the event happened.
	At time.Time `json:"t"`
	// Connection and Operation are what a resource_operation event is about.
	Connection uuid.UUID `json:"c,omitzero"`
	Operation  uuid.UUID `json:"o,omitzero"`
	// Webhook is what a webhook event is about.
	Webhook uuid.UUID `json:"w,omitzero"`
}

// KindCreated is the kind under which the id of a created event is derived.
const KindCreated operation.EventKind = "created"

func createdReference(m operation.Message) Reference {
	return Reference{
		Message: operation.EventID(m.ID, KindCreated), Event: EventCreated, At: m.CreatedAt(),
		Connection: m.ConnectionID, Operation: m.ID,
	}
}

func endedReference(op operation.Operation) Reference {
	r := Reference{
		Message: operation.EventID(op.ID, operation.FinalKind(op.Status)), Event: EventSucceeded, At: op.UpdatedAt,
		Connection: op.ConnectionID, Operation: op.ID,
	}
	if op.Status != operation.Succeeded {
		r.Event = EventFailed
	}
	return r
}

func staledReference(s Subscription) Reference {
	kind := operation.EventKind("staled " + s.StaledAt.UTC().Format(time.RFC3339Nano))
	id := operation.EventID(s.ID, kind)
	// Its time is that of the event and not that of the subscription.
	for i, at := 0, s.StaledAt.UnixMilli(); i < 6; i++ {
		id[i] = byte(at >> (40 - 8*i))
	}
	return Reference{Message: id, Event: EventStaled, At: s.StaledAt, Webhook: s.ID}
}

// sends is how many attempts a delivery may have in the store: never fewer than the
// longest schedule, which decides.
const sends = 32

// delivery gives the delivery of what r is about to a subscription, in the form of
// an operation. The same replay gives the same delivery.
func (r Reference) delivery(s Subscription, replay string) (operation.Accepted, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return operation.Accepted{}, fmt.Errorf("webhook: reference: %w", err)
	}
	// Without a user each delivery has a mailbox of its own, so none waits for another.
	// It is no create: there is nobody to learn of.
	return operation.Accepted{
		Version: operation.Version, ID: operation.EventID(r.Message, operation.EventKind("delivery "+s.ID.String()+replay)),
		PartnerID: s.PartnerID, ConnectionID: s.ID, Provider: "webhook", Resource: r.Event,
		SourceID: string(text), Type: operation.Update, MaxAttempts: sends,
	}, nil
}

func referenceOf(a operation.Accepted) (Reference, error) {
	var r Reference
	if err := json.Unmarshal([]byte(a.SourceID), &r); err != nil {
		return Reference{}, fmt.Errorf("webhook: reference of delivery %s: %w", a.ID, err)
	}
	return r, nil
}
