// Package webhook is for those who receive Writeback's webhooks: it checks that a
// request comes from Writeback and gives the event in it.
//
//	body, err := webhook.ReadBody(r, 1<<20)
//	event, err := webhook.Verify([]string{secret}, r.Header, body, time.Now())
//
// An event may arrive more than once and in any order: Event.ID is the same each
// time and is what to remember. Answer with any 2xx within three seconds, and do the
// work afterwards.
//
// The package needs nothing but the standard library. It keeps no state, so it
// cannot tell that an event was seen before.
package webhook

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Version of the envelope.
const Version = "1.0"

// Event is the envelope of every request.
type Event struct {
	// Version of the envelope: major.minor.
	Version string `json:"version"`
	// ID of the event. It is the same in every attempt and every replay: whoever
	// has seen it has seen the event.
	ID string `json:"id"`
	// EventName, for example "resource_operation.succeeded".
	EventName string `json:"event_name"`
	// WebhookID is the subscription.
	WebhookID string `json:"webhook_id"`
	// Timestamp is when the event happened.
	Timestamp time.Time `json:"timestamp"`
	// DeliveryAttempt counts the sends of this delivery, from 1.
	DeliveryAttempt int `json:"delivery_attempt"`
	// Data holds what the event is about, one JSON object each.
	Data []json.RawMessage `json:"data"`
}

// ErrTooLarge says that a body is larger than the receiver wants.
var ErrTooLarge = errors.New("webhook: body is too large")

// ReadBody reads a request's body, at most the given number of bytes after
// decompression. The error is ErrTooLarge, or that of reading.
func ReadBody(r *http.Request, most int64) ([]byte, error) {
	var from io.Reader = http.MaxBytesReader(nil, r.Body, most)
	if strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(from)
		if err != nil {
			return nil, fmt.Errorf("webhook: body: %w", err)
		}
		defer func() { _ = z.Close() }()
		from = z
	}
	body, err := io.ReadAll(io.LimitReader(from, most+1))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large) || int64(len(body)) > most:
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("webhook: body: %w", err)
	}
	return body, nil
}
