// Package webfleet reads and writes drivers at Webfleet by WEBFLEET.connect: one
// call of an action with the changed parameters only.
//
// It refuses what a Webfleet driver does not have (hours of service, licences,
// logins, an active flag) before any call that changes something, never deletes a
// driver and never touches a pin. A success has no text, and most errors come with
// status 200, so an answer counts only after all three forms of an error were looked
// for. The API key is a parameter of the address, which is why no address is in an
// error, a log or a span.
//
// A connection has account, username, password and apikey. Its settings:
//
//	driver_number  "true": employee_number may change a driver's number, which is a key there
//	split_name     "true": first and last name are two parameters, also where the second is empty
//	name1          "true": the first name parameter of a new driver is called name1
package webfleet

import (
	"context"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Name is the contract's source_name.
const Name = "webfleet"

// DefaultBaseURL is WEBFLEET.connect's JSON and CSV host.
const DefaultBaseURL = "https://csv.webfleet.com"

// Config of a Provider. The zero value is usable.
type Config struct {
	// BaseURL of the API, without /extern. Empty: DefaultBaseURL.
	BaseURL string
}

// Provider is the adapter. Safe for concurrent use. Besides updates it creates,
// reads and lists drivers.
type Provider struct {
	call *httpcall.Client
	base string
}

var (
	_ tsp.Provider = (*Provider)(nil)
	_ tsp.Creator  = (*Provider)(nil)
	_ tsp.Reader   = (*Provider)(nil)
	_ tsp.Lister   = (*Provider)(nil)
)

// New makes the adapter.
func New(call *httpcall.Client, cfg Config) *Provider {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	return &Provider{call: call, base: strings.TrimRight(cfg.BaseURL, "/")}
}

// Describe gives the limits and the field table. Each action may be used ten times
// a minute, and a write uses each of its actions once.
func (p *Provider) Describe() tsp.Description {
	return tsp.Description{
		Name: Name, Title: "Webfleet",
		Access: "user name, password and API key",
		Limits: tsp.Limits{PerSecond: 5.0 / 60, Burst: 5, InFlight: 2, Call: 45 * time.Second},
		Users:  table(),
		Create: &tsp.CreateRules{
			Required: []operation.Field{operation.FieldEmployeeNumber, operation.FieldFirstName, operation.FieldLastName},
			Note:     "employee_number becomes the driver number, which is unique at the provider. There is no password.",
		},
	}
}

// UpdateUser writes the changed parameters. It reads the driver first for a name,
// since tenants write it in one parameter or two, and for the number that is
// replaced. Repeating it is harmless: all values are absolute.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	c, failure := p.client(conn, u.Changes)
	if failure != nil {
		return tsp.Result{}, failure
	}
	if u.SourceID == "" {
		return tsp.Result{}, operation.Refuse("not sent to webfleet: the driver has no id there")
	}
	w := newWrite(conn.Settings, u.Changes)
	w.checkNumber()
	if failure := w.refused.Failure(); failure != nil {
		return tsp.Result{}, failure
	}
	var answer httpcall.Answer
	if w.needsRead() {
		row, read, err := c.driver(ctx, u.SourceID)
		if err != nil {
			return tsp.Result{}, err
		}
		answer = read
		w.complete(row)
		if failure := w.refused.Failure(); failure != nil {
			return tsp.Result{}, failure
		}
	}
	if len(w.params) == 0 {
		return resultOf(answer), nil
	}
	w.params["driveruid"] = u.SourceID
	answer, err := c.change(ctx, "webfleet: update driver", "updateDriverExtern", w.params)
	if err != nil {
		return tsp.Result{}, err
	}
	return resultOf(answer), nil
}

func resultOf(a httpcall.Answer) tsp.Result {
	return tsp.Result{StatusCode: a.Status, Header: a.Header, RetryAfter: a.Spent}
}
