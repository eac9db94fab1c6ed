package webhooks_test

import (
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// delivery is one request as it was received.
type delivery struct {
	Version         string            `json:"version"`
	ID              string            `json:"id"`
	EventName       string            `json:"event_name"`
	WebhookID       string            `json:"webhook_id"`
	Timestamp       time.Time         `json:"timestamp"`
	DeliveryAttempt int               `json:"delivery_attempt"`
	Data            []json.RawMessage `json:"data"`

	// operation is the id in the data; answered is the status that was given.
	operation string
	answered  int
}

// receiver is a partner's endpoint. Of the project it uses nothing: what it knows of
// signatures and envelopes it has from the documentation.
type receiver struct {
	*httptest.Server
	// answer says how to answer the nth request.
	answer func(n, send int) int

	mu      sync.Mutex
	secrets map[string]string // by subscription
	all     []delivery
	faults  []string
}

func newReceiver(t *testing.T, answer func(n, send int) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer, secrets: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) knows(webhook, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[webhook] = secret
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	d, err := r.read(req)
	r.mu.Lock()
	n := len(r.all)
	if err != nil {
		r.faults = append(r.faults, err.Error())
	}
	d.answered = r.answer(n, d.DeliveryAttempt)
	r.all = append(r.all, d)
	r.mu.Unlock()
	time.Sleep(50 * time.Millisecond) // an endpoint takes its time, so that sends are under way
	w.WriteHeader(d.answered)
}

func (r *receiver) read(req *http.Request) (d delivery, err error) {
	z, err := gzip.NewReader(req.Body)
	if err != nil {
		return d, err
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return d, err
	}
	r.mu.Lock()
	secret := r.secrets[req.Header.Get("X-Webhook-ID")]
	r.mu.Unlock()
	if err := signedBy(secret, req.Header, body, time.Now()); err != nil {
		return d, err
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return d, err
	}
	if len(d.Data) != 1 {
		return d, fmt.Errorf("%d entries in data", len(d.Data))
	}
	var about struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(d.Data[0], &about); err != nil {
		return d, err
	}
	d.operation = about.ID
	for name, want := range map[string]string{
		"webhook-id": d.ID, "X-Webhook-ID": d.WebhookID, "X-Event-Type": d.EventName, "X-Schema-Version": d.Version,
		"X-Delivery-Attempt": fmt.Sprint(d.DeliveryAttempt),
	} {
		if got := req.Header.Get(name); got != want {
			return d, fmt.Errorf("header %s is %q, the body says %q", name, got, want)
		}
	}
	return d, nil
}

// signedBy checks both signatures: the contract's by its description, the other by
// the library of Standard Webhooks.
func signedBy(secret string, h http.Header, body []byte, now time.Time) error {
	stamp := h.Get("X-Catena-Timestamp")
	at, err := time.Parse("2006-01-02T15:04:05.999999999-07:00", stamp)
	if err != nil {
		return fmt.Errorf("X-Catena-Timestamp: %w", err)
	}
	if now.Sub(at).Abs() > 5*time.Minute {
		return fmt.Errorf("signed at %s, it is %s", at, now)
	}
	sum := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprintf(sum, "%s.%s", stamp, body)
	want := base64.StdEncoding.EncodeToString(sum.Sum(nil))
	if got := h.Get("X-Catena-Signature"); secret == "" || got != want {
		return fmt.Errorf("X-Catena-Signature is %q", got)
	}
	library, err := standard.NewWebhook(secret)
	if err != nil {
		return err
	}
	return library.Verify(body, h)
}

// received gives all requests so far and what was wrong with them.
func (r *receiver) received() (all []delivery, faults []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all), slices.Clone(r.faults)
}
