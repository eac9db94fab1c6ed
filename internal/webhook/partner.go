package webhook

import (
	"time"

	"github.com/google/uuid"

	"writeback/internal/wire"
)

// Bounds of a secret's length, in characters.
const (
	MinSecret = wire.MinWebhookSecret
	MaxSecret = wire.MaxWebhookSecret
)

// New is a subscription that a partner wants.
type New struct {
	URL string
	// EventName is one of Events, or a family that ends in ".*".
	EventName string
	Filters   Filters
	// Secret to sign with. Empty: one is made.
	Secret string
	// Schedule of retries. Empty: Short.
	Schedule Schedule
}

// Created is a new subscription with its secret in clear, which is shown this once.
type Created struct {
	Subscription
	Secret string
}

// Change is what a partner wants changed; nil leaves a field as it is.
type Change struct {
	URL     *string
	Filters *Filters
	// Secret replaces the present one, which stays valid for a while.
	Secret   *string
	Schedule *Schedule
}

// Query selects a partner's subscriptions, by id ascending. Deleted ones are only
// given when Status asks for them.
type Query struct {
	// EventName is an event, or a family that ends in ".*". Empty: any.
	EventName string
	Status    Status
	// Position is the id to start from, exclusive. Nil: the first, or backwards the
	// last.
	Position  uuid.UUID
	Backwards bool
	// Limit is the most subscriptions to give.
	Limit int
}

// Window counts what happened in a period up to now.
type Window struct {
	// Attempts are HTTP requests; Successes those answered with 2xx.
	Attempts, Successes int
	// Messages are events that ended; Delivered those that arrived.
	Messages, Delivered int
	// Answered counts the requests with any answer, ResponseTime is their sum.
	Answered     int
	ResponseTime time.Duration
}

// rateLeastMessages is from how many messages on a success rate is given.
const rateLeastMessages = 200

// SuccessRate is the percentage of messages that were delivered, and whether there
// were enough to say.
func (w Window) SuccessRate() (percent float64, known bool) {
	if w.Messages < rateLeastMessages {
		return 0, false
	}
	return 100 * float64(w.Delivered) / float64(w.Messages), true
}

// AverageResponse is how long an endpoint took to answer. Zero: it never did.
func (w Window) AverageResponse() time.Duration {
	if w.Answered == 0 {
		return 0
	}
	return w.ResponseTime / time.Duration(w.Answered)
}

// Metrics are an endpoint's counts, to the hour.
type Metrics struct {
	Hours6, Hours24, Days7, Days14 Window
	// AverageSuccess is the breaker's moving average, 0 to 1. Nil: nothing was
	// delivered since the endpoint was made active.
	AverageSuccess *float64
	DeadLetters    int
}

// LogStatus is how a send ended.
type LogStatus string

// The contract's values.
const (
	LogSuccess LogStatus = "success"
	LogFailed  LogStatus = "failed"
)

// Valid reports whether s is one of the contract's values.
func (s LogStatus) Valid() bool { return s == LogSuccess || s == LogFailed }

// LogQuery selects log rows of a subscription.
type LogQuery struct {
	Webhook uuid.UUID
	// From is inclusive, To exclusive; zero is open.
	From, To time.Time
	// Status to give. Empty: all.
	Status LogStatus
	// Position of the row to go on from, exclusive. Empty: the newest.
	Position string
	// Backwards gives the rows that are newer than Position.
	Backwards bool
	// Limit is the most rows to give.
	Limit int
}

// LogRow is one send.
type LogRow struct {
	// Position of the row, opaque, ascending in time.
	Position  string
	CreatedAt time.Time
	Webhook   uuid.UUID
	// Reference names the event; its Message is the contract's message_id.
	Reference Reference
	Status    LogStatus
	// StatusCode is the endpoint's answer. Zero: there was none.
	StatusCode int
	// Problem is a sentence. Empty for a success.
	Problem      string
	ResponseTime time.Duration
}

// ReplayQuery selects what is delivered once more.
type ReplayQuery struct {
	// Messages to replay, by event id. Empty: all in the window.
	Messages []uuid.UUID
	// From is inclusive, To exclusive; zero is open. It is the time of the send, or
	// of the death.
	From, To time.Time
	// Status: empty replays dead letters; failed also what the endpoint refused;
	// success what was delivered.
	Status LogStatus
}

// DeadLetter is what could not be delivered.
type DeadLetter struct {
	Reference
	// DiedAt is when it was given up last, in milliseconds since 1970.
	DiedAt int64
}
