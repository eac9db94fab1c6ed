package httpapi

import (
	"errors"
	"math"

	"github.com/google/uuid"

	"writeback/internal/webhook"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

func filtersOf(f wire.WebhookFilters) webhook.Filters {
	return webhook.Filters{FleetIDs: f.FleetIDs, FleetRefs: f.FleetRefs}
}

func filtersView(f webhook.Filters) *wire.WebhookFilters {
	if f.IsZero() {
		return nil
	}
	return &wire.WebhookFilters{FleetIDs: f.FleetIDs, FleetRefs: f.FleetRefs}
}

// createdView is the only one with the secret in clear.
func createdView(c webhook.Created) wire.Webhook {
	return wire.Webhook{
		URL: c.URL, Filters: filtersView(c.Filters), Secret: c.Secret,
		CreatedAt: wire.Stamp(c.CreatedAt), UpdatedAt: wire.Stamp(c.UpdatedAt),
		ID: c.ID, PartnerID: c.PartnerID, Status: string(c.Status), EventName: c.EventName, Schedule: string(c.Schedule),
	}
}

func webhookView(s webhook.Subscription) wire.WebhookRead {
	return wire.WebhookRead{
		ID: s.ID, URL: s.MaskedURL(), EventName: s.EventName, Filters: filtersView(s.Filters), Secret: wire.MaskedSecret,
		Status: string(s.Status), CreatedAt: wire.Stamp(s.CreatedAt), UpdatedAt: wire.Stamp(s.UpdatedAt),
		Schedule: string(s.Schedule), StaleReason: unlessZero(s.StaleReason),
	}
}

func metricsView(id uuid.UUID, m webhook.Metrics) wire.WebhookMetrics {
	each := func(count func(webhook.Window) int) wire.TimePeriodMetric {
		var n [4]int
		for i, w := range []webhook.Window{m.Hours6, m.Hours24, m.Days7, m.Days14} {
			n[i] = count(w)
		}
		return wire.TimePeriodMetric{Hours6: &n[0], Hours24: &n[1], Days7: &n[2], Days14: &n[3]}
	}
	known := func(number func(webhook.Window) *int) wire.TimePeriodMetric {
		return wire.TimePeriodMetric{Hours6: number(m.Hours6), Hours24: number(m.Hours24), Days7: number(m.Days7), Days14: number(m.Days14)}
	}
	return wire.WebhookMetrics{
		WebhookID:           id,
		HTTPAttempts:        each(func(w webhook.Window) int { return w.Attempts }),
		HTTPSuccessAttempts: each(func(w webhook.Window) int { return w.Successes }),
		HTTPFailureAttempts: each(func(w webhook.Window) int { return w.Attempts - w.Successes }),
		MessageCount:        each(func(w webhook.Window) int { return w.Messages }),
		MessageSuccessCount: each(func(w webhook.Window) int { return w.Delivered }),
		SuccessRate:         known(successRate),
		AvgResponseTimeMS:   known(averageResponse),
		EWMASuccessRate:     m.AverageSuccess,
		DLQCount:            m.DeadLetters,
	}
}

// successRate is a whole percentage: 100 only if nothing failed.
func successRate(w webhook.Window) *int {
	percent, known := w.SuccessRate()
	if !known {
		return nil
	}
	n := int(math.Floor(percent))
	return &n
}

func averageResponse(w webhook.Window) *int {
	if w.Answered == 0 {
		return nil
	}
	n := int(w.AverageResponse().Milliseconds())
	return &n
}

func logView(row webhook.LogRow) wire.WebhookLogRead {
	view := wire.WebhookLogRead{
		CreatedAt: wire.Stamp(row.CreatedAt), WebhookID: row.Webhook, MessageID: row.Reference.Message, EventName: row.Reference.Event,
		Status: string(row.Status), StatusCode: row.StatusCode, ErrorMessage: unlessZero(row.Problem),
	}
	if row.StatusCode != 0 {
		ms := int(row.ResponseTime.Milliseconds())
		view.ResponseTimeMS = &ms
	}
	return view
}

// pathsOf are the paths of an error's faults.
func pathsOf(err error) map[string]bool {
	var known *operation.Error
	if !errors.As(err, &known) {
		return nil
	}
	out := make(map[string]bool, len(known.Faults))
	for _, f := range known.Faults {
		out[f.Path] = true
	}
	return out
}
