package wire

import (
	"time"

	"github.com/google/uuid"
)

// WebhookFilters select by fleet. Nil lists are null on the wire.
type WebhookFilters struct {
	FleetIDs  []uuid.UUID `json:"fleet_ids"`
	FleetRefs []string    `json:"fleet_refs"`
}

// Webhook is a subscription as the answer to its creation shows it: the only time
// that the secret is in clear.
type Webhook struct {
	URL       string          `json:"url"`
	Filters   *WebhookFilters `json:"filters"`
	Secret    string          `json:"secret"`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
	DeletedAt *time.Time      `json:"deleted_at"`
	ID        uuid.UUID       `json:"id"`
	PartnerID uuid.UUID       `json:"partner_id"`
	Status    string          `json:"status"`
	EventName string          `json:"event_name"`

	// Schedule is ours and not the contract's: one of WebhookSchedules.
	Schedule string `json:"schedule"`
}

// WebhookRead is a subscription as it is read. URL and secret are masked by
// whoever fills this in.
type WebhookRead struct {
	ID        uuid.UUID       `json:"id"`
	URL       string          `json:"url"`
	EventName string          `json:"event_name"`
	Filters   *WebhookFilters `json:"filters"`
	Secret    string          `json:"secret"`
	Status    string          `json:"status"`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`

	// What follows is ours and not the contract's.

	Schedule string `json:"schedule"`
	// StaleReason is there only while the subscription is stale.
	StaleReason *string `json:"stale_reason,omitempty"`
}

// WebhookMetrics are an endpoint's counts.
type WebhookMetrics struct {
	WebhookID           uuid.UUID        `json:"webhook_id"`
	HTTPAttempts        TimePeriodMetric `json:"http_attempts"`
	HTTPSuccessAttempts TimePeriodMetric `json:"http_success_attempts"`
	HTTPFailureAttempts TimePeriodMetric `json:"http_failure_attempts"`
	MessageCount        TimePeriodMetric `json:"message_count"`
	MessageSuccessCount TimePeriodMetric `json:"message_success_count"`
	SuccessRate         TimePeriodMetric `json:"success_rate"`
	AvgResponseTimeMS   TimePeriodMetric `json:"avg_response_time_ms"`
	EWMASuccessRate     *float64         `json:"ewma_success_rate"`
	DLQCount            int              `json:"dlq_count"`
}

// TimePeriodMetric is one number for each window up to now. Nil: not known.
type TimePeriodMetric struct {
	Hours6  *int `json:"6h"`
	Hours24 *int `json:"24h"`
	Days7   *int `json:"7d"`
	Days14  *int `json:"14d"`
}

// WebhookLogRead is one send.
type WebhookLogRead struct {
	CreatedAt time.Time `json:"created_at"`
	WebhookID uuid.UUID `json:"webhook_id"`
	MessageID uuid.UUID `json:"message_id"`
	EventName string    `json:"event_name"`
	// Status is one of WebhookLogStatuses.
	Status string `json:"status"`
	// StatusCode is zero if there was no answer.
	StatusCode     int     `json:"status_code"`
	ErrorMessage   *string `json:"error_message"`
	ResponseTimeMS *int    `json:"response_time_ms"`
}

// WebhookReplay says how many messages are on their way again.
type WebhookReplay struct {
	MessageCount int `json:"message_count"`
}

// EventSchema is the schema of one event's envelope.
type EventSchema struct {
	EventName string    `json:"event_name"`
	Version   string    `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	// OpenAPISchema is a JSON Schema as text.
	OpenAPISchema string `json:"openapi_schema"`
	Changelog     string `json:"changelog"`
}

// OperationEvent is one event of the live tail: the envelope of a webhook, without
// what only a delivery has.
type OperationEvent struct {
	Version   string    `json:"version"`
	ID        uuid.UUID `json:"id"`
	EventName string    `json:"event_name"`
	Timestamp time.Time `json:"timestamp"`
	// Data holds one operation.
	Data []ResourceOperationRead `json:"data"`
}
