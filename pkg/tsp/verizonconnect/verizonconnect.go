// Package verizonconnect reads and writes drivers at Verizon Connect Reveal by its
// Customer Metadata interface: a driver is read, changed, put back whole with every
// key that was there, and read once more, since it is not published what a PUT
// answers or which keys it takes.
//
// Because that part of the contract is not confirmed, nothing is called unless the
// connection's setting accept_partial_contract is "true". The adapter refuses what a
// driver does not have, or what has no published form (hours of service), before any
// call that changes something; it never deletes a driver, and never changes a driver
// number, which is the provider's id. There is no optimistic lock: an edit by
// somebody else between read and write is lost.
//
// A connection has username, password and app_id, of which a login makes
// access_token and expires_at. Its settings:
//
//	accept_partial_contract  "true": write although the PUT's keys are not confirmed
//	region                   "us" or "eu": where the account is; without it "us"
package verizonconnect

import (
	"context"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Name is the contract's source_name.
const Name = "verizon_connect"

// Hosts of the API.
const (
	DefaultBaseURL = "https://fim.api.us.fleetmatics.com"
	EuropeBaseURL  = "https://fim.api.eu.fleetmatics.com"
)

// Config of a Provider. The zero value is usable.
type Config struct {
	// BaseURL of the API for every region. Empty: DefaultBaseURL or EuropeBaseURL.
	BaseURL string
	// Now is the clock of the tokens. Nil: time.Now.
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
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Provider{call: call, base: strings.TrimRight(cfg.BaseURL, "/"), now: cfg.Now}
}

// Describe gives the limits and the field table. No limits are published; one
// request a second is assumed, and an update makes three.
func (p *Provider) Describe() tsp.Description {
	return tsp.Description{
		Name: Name, Title: "Verizon Connect",
		Access: "token, renewed from user name and password; only with the setting `accept_partial_contract`",
		Limits: tsp.Limits{PerSecond: 0.33, Burst: 1, InFlight: 1, Call: 60 * time.Second},
		Users:  table(),
		Create: &tsp.CreateRules{
			Required: []operation.Field{operation.FieldEmployeeNumber, operation.FieldFirstName, operation.FieldLastName},
			Note: "employee_number becomes the driver number, the provider's id. " +
				"Only with the connection's setting accept_partial_contract, as every write here.",
		},
	}
}

// UpdateUser reads the driver, puts it back with the changes and reads it again.
// Repeating it is harmless: all values are absolute.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	c, failure := p.client(conn, u.Changes)
	if failure != nil {
		return tsp.Result{}, failure
	}
	refused := tsp.NewRefusals(Name)
	patch := table().Apply(u.Changes, refused)
	if failure := refused.Failure(); failure != nil {
		return tsp.Result{}, failure
	}
	held, answer, err := c.driver(ctx, "verizon_connect: read driver", u.SourceID)
	if err != nil {
		return tsp.Result{}, err
	}
	if len(patch) == 0 {
		return resultOf(answer), nil
	}
	if err := c.put(ctx, u.SourceID, held.with(patch)); err != nil {
		return tsp.Result{}, err
	}
	after, answer, err := c.driver(ctx, "verizon_connect: read driver after the update", u.SourceID)
	if err != nil {
		return tsp.Result{}, err
	}
	if missed := missed(u.Changes, after); len(missed) > 0 {
		return tsp.Result{}, refuseAfter(answer, "verizon_connect: update driver: the provider did not apply %s", strings.Join(missed, ", "))
	}
	return resultOf(answer), nil
}

// missed lists the fields of which the driver has another value than the one sent. A
// key that the driver does not have tells nothing.
func missed(changes operation.Changes, d driver) []string {
	held, rules := d.fields(), table()
	var fields []string
	for _, f := range changes.Fields() {
		sent, _ := changes.Get(f)
		if v, shown := held.Get(f); shown && !rules.Rule(f).Same(sent, v) && !alike(f, sent.Text(), v.Text()) {
			fields = append(fields, string(f))
		}
	}
	return fields
}

// alike reports that two texts say the same: a provider may fold a login and put a
// number into its own form.
func alike(f operation.Field, sent, held string) bool {
	if f == operation.FieldPhoneNumber {
		return held != "" && tsp.Digits(sent) == tsp.Digits(held)
	}
	return held != "" && strings.EqualFold(strings.TrimSpace(sent), held)
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
