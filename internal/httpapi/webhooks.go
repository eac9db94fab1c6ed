package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"writeback/internal/webhook"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// subscriptions reads a partner's webhooks; see registry.Registry. Another partner's
// are not found. An error here and below is an *operation.Error.
type subscriptions interface {
	Get(ctx context.Context, partner, id uuid.UUID) (webhook.Subscription, error)
	List(ctx context.Context, partner uuid.UUID, q webhook.Query) (page []webhook.Subscription, more bool, err error)
}

// subscriber makes, changes and ends webhooks.
type subscriber interface {
	// Check gives faults of an address and an event's name; nil is not looked at.
	Check(address, event *string) []operation.Fault
	Create(ctx context.Context, partner uuid.UUID, n webhook.New) ([]webhook.Created, error)
	Update(ctx context.Context, partner, id uuid.UUID, c webhook.Change) (webhook.Subscription, error)
	Delete(ctx context.Context, partner, id uuid.UUID) error
}

// switcher stops and starts webhooks.
type switcher interface {
	Activate(ctx context.Context, partner, id uuid.UUID) (webhook.Subscription, error)
	Pause(ctx context.Context, partner, id uuid.UUID) (webhook.Subscription, error)
}

// createWebhook subscribes to an event, or to each of a family.
func (s *server) createWebhook(w http.ResponseWriter, r *http.Request) error {
	body, err := s.jsonBody(w, r)
	if err != nil {
		return err
	}
	in, bad := wire.DecodeWebhookCreate(body, s.cfg.Decode)
	if err := join(bad, s.checkWebhook(unlessZero(in.URL), unlessZero(in.EventName), bad)); err != nil {
		return err
	}
	made, err := s.deps.Webhooks.Create(r.Context(), principalOf(r.Context()).PartnerID, webhook.New{
		URL: in.URL, EventName: in.EventName, Filters: filtersOf(in.Filters), Secret: in.Secret, Schedule: webhook.Schedule(in.Schedule),
	})
	if err != nil {
		return err
	}
	views := make([]wire.Webhook, 0, len(made))
	for _, c := range made {
		views = append(views, createdView(c))
	}
	if strings.HasSuffix(in.EventName, ".*") || len(views) != 1 {
		s.write(w, r, http.StatusOK, views)
		return nil
	}
	s.write(w, r, http.StatusOK, views[0])
	return nil
}

// checkWebhook judges what the decoder cannot, unless it has already refused it.
func (s *server) checkWebhook(address, event *string, before error) error {
	faults := s.deps.Webhooks.Check(address, event)
	told := pathsOf(before)
	var all []*operation.Fault
	for i := range faults {
		if !told[faults[i].Path] {
			all = append(all, &faults[i])
		}
	}
	return wire.Invalid(all...)
}

// updateWebhook changes a webhook.
func (s *server) updateWebhook(w http.ResponseWriter, r *http.Request) error {
	body, err := s.jsonBody(w, r)
	if err != nil {
		return err
	}
	id, badID := webhookID(r)
	in, bad := wire.DecodeWebhookUpdate(body, s.cfg.Decode)
	if err := join(badID, bad, s.checkWebhook(in.URL, nil, bad)); err != nil {
		return err
	}
	change := webhook.Change{URL: in.URL, Secret: in.Secret, Schedule: (*webhook.Schedule)(in.Schedule)}
	if in.Filters != nil {
		filters := filtersOf(*in.Filters)
		change.Filters = &filters
	}
	got, err := s.deps.Webhooks.Update(r.Context(), principalOf(r.Context()).PartnerID, id, change)
	if err != nil {
		return err
	}
	s.write(w, r, http.StatusOK, webhookView(got))
	return nil
}

// onWebhook answers with the webhook that an action on it gives.
func (s *server) onWebhook(action func(ctx context.Context, partner, id uuid.UUID) (webhook.Subscription, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		id, err := webhookID(r)
		if err != nil {
			return err
		}
		got, err := action(r.Context(), principalOf(r.Context()).PartnerID, id)
		if err != nil {
			return err
		}
		s.write(w, r, http.StatusOK, webhookView(got))
		return nil
	}
}

// deleteWebhook ends a webhook.
func (s *server) deleteWebhook(w http.ResponseWriter, r *http.Request) error {
	id, err := webhookID(r)
	if err != nil {
		return err
	}
	if err := s.deps.Webhooks.Delete(r.Context(), principalOf(r.Context()).PartnerID, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listWebhooks shows a page of the partner's webhooks, by id.
func (s *server) listWebhooks(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r)
	if err != nil {
		return err
	}
	in, cursor, err := wire.ParseListWebhooks(values)
	if err != nil {
		return err
	}
	l, err := s.listing(wire.KindWebhooks, values, cursor)
	if err != nil {
		return err
	}
	page, more, err := s.deps.Webhooks.List(r.Context(), principalOf(r.Context()).PartnerID, webhook.Query{
		EventName: in.EventName, Status: webhook.Status(in.Status),
		Position: l.at.Position.ID, Backwards: l.at.Backwards, Limit: in.Size,
	})
	if err != nil {
		return err
	}
	at := func(sub webhook.Subscription) place { return placeOfID(sub.ID) }
	s.write(w, r, http.StatusOK, paged(l, page, at, webhookView, more))
	return nil
}

// getEventSchema shows the schema of an event's envelope, in its newest version or in
// the one that the path names.
func (s *server) getEventSchema(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("event_name")
	schema, ok := wire.EventSchemaOf(name, r.PathValue("version"))
	if !ok {
		return &operation.Error{
			Code:    operation.CodeNotFound,
			Message: "there is no such schema; there is version " + wire.EnvelopeVersion + " of " + strings.Join(wire.ToldEvents(), ", "),
		}
	}
	s.write(w, r, http.StatusOK, schema)
	return nil
}

func webhookID(r *http.Request) (uuid.UUID, error) {
	id, bad := wire.ParseUUID("path.webhook_id", r.PathValue("webhook_id"))
	return id, wire.Invalid(bad)
}
