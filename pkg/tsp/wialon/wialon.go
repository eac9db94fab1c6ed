// Package wialon reads and writes drivers at Wialon Hosting or Local by its remote
// API. A driver lives in a resource, so a source id is both: "600123:7".
//
// An update replaces the whole driver, so it is read, changed and written back with
// every key that was there, custom fields and unknown ones included; the answer is
// compared with what was sent. Wialon has no optimistic lock: an edit by somebody
// else between the two calls is lost. The adapter refuses what a driver does not
// have (hours of service, an active flag, logins) before any call that changes
// something, never deletes a driver, and writes the mobile password back as read.
//
// A connection has a token, of which a login makes sid and sid_until. A session
// ends after five minutes without a call. Settings of a connection:
//
//	resource_id               the resource in which new drivers are made
//	email_field               name of the custom field of user_email
//	license_number_field      name of the custom field of license_number
//	license_region_field      name of the custom field of license_region
//	license_expiration_field  name of the custom field of license_expiration
package wialon

import (
	"context"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Name is the contract's source_name.
const Name = "wialon"

// DefaultBaseURL is Wialon Hosting.
const DefaultBaseURL = "https://hst-api.wialon.com"

// Config of a Provider. The zero value is usable.
type Config struct {
	// BaseURL of the server, without /wialon/ajax.html. Empty: DefaultBaseURL.
	BaseURL string
	// Now is the clock of the sessions. Nil: time.Now.
	Now func() time.Time
}

// Provider is the adapter. Safe for concurrent use. Besides updates it creates,
// reads and lists drivers, and it is a tsp.Refresher.
type Provider struct {
	call *httpcall.Client
	base string
	now  func() time.Time
}

var (
	_ tsp.Provider  = (*Provider)(nil)
	_ tsp.Creator   = (*Provider)(nil)
	_ tsp.Reader    = (*Provider)(nil)
	_ tsp.Lister    = (*Provider)(nil)
	_ tsp.Refresher = (*Provider)(nil)
)

// New makes the adapter.
func New(call *httpcall.Client, cfg Config) *Provider {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Provider{call: call, base: strings.TrimRight(cfg.BaseURL, "/"), now: cfg.Now}
}

// Describe gives the limits and the field table. A session takes one request at a
// time; the rate is a careful guess, a write makes two calls.
func (p *Provider) Describe() tsp.Description {
	return tsp.Description{
		Name: Name, Title: "Wialon",
		Access: "session, renewed from a token",
		Limits: tsp.Limits{PerSecond: 2, Burst: 4, InFlight: 1, Call: 45 * time.Second},
		Users:  table(nil),
		Create: &tsp.CreateRules{
			Required: []operation.Field{operation.FieldEmployeeNumber, operation.FieldFirstName, operation.FieldLastName},
			Note: "employee_number becomes the code, which is unique in the resource. The connection's setting resource_id names " +
				"the resource. The driver gets no mobile password.",
		},
	}
}

// UpdateUser reads the resource with its drivers and replaces the driver. Repeating
// it is harmless: all values are absolute.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	c, failure := p.client(conn, u.Changes)
	if failure != nil {
		return tsp.Result{}, failure
	}
	key, failure := parseKey(u.SourceID)
	if failure != nil {
		return tsp.Result{}, failure
	}
	w := newWrite(conn.Settings, u.Changes)
	if failure := w.refused.Failure(); failure != nil {
		return tsp.Result{}, failure
	}
	held, answer, err := c.resource(ctx, key.resource)
	if err != nil {
		return tsp.Result{}, err
	}
	driver, ok := held.driver(key.driver)
	if !ok {
		return tsp.Result{}, refuseAfter(answer, "wialon: read driver: driver not found at the provider")
	}
	next := w.onto(driver)
	w.checkCode(held, key.driver)
	if failure := w.refused.Failure(); failure != nil {
		return tsp.Result{}, failure
	}
	if len(w.patch)+len(w.custom) == 0 {
		return resultOf(answer), nil
	}
	written, answer, err := c.write(ctx, "wialon: update driver", "update", key, next)
	if err != nil {
		return tsp.Result{}, err
	}
	if missed := w.missed(written.after); len(missed) > 0 {
		return tsp.Result{}, refuseAfter(answer, "wialon: update driver: the provider did not apply %s", strings.Join(missed, ", "))
	}
	return resultOf(answer), nil
}

// refuseAfter is a refusal that was found out by an answer.
func refuseAfter(answer httpcall.Answer, format string, args ...any) *operation.Failure {
	f := operation.Refuse(format, args...)
	f.StatusCode, f.Header = answer.Status, answer.Header
	return f
}

func resultOf(a httpcall.Answer) tsp.Result {
	return tsp.Result{StatusCode: a.Status, Header: a.Header, RetryAfter: a.Spent}
}
