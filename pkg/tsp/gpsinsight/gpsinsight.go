// Package gpsinsight reads and writes drivers at GPS Insight by its API v2: an
// update names the changed parameters only.
//
// It refuses what its small driver record does not have (hours of service, licences,
// an active flag, notes) before any call that changes something, and every null,
// since it is not published what an empty value does. It never deletes a driver and
// touches no office user. An answer is judged by its envelope: errors come with
// status 200 too. The session is a parameter of the address, which is why no address
// is in an error, a log or a span.
//
// A connection has username and password, or an app_token, of which a login makes
// the session_token. Its settings:
//
//	form_post  "true": parameters are sent as a form instead of in the address
package gpsinsight

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Name is the contract's source_name.
const Name = "gpsinsight"

// DefaultBaseURL is the API.
const DefaultBaseURL = "https://api.gpsinsight.com/v2"

// Config of a Provider. The zero value is usable.
type Config struct {
	// BaseURL of the API, with the version. Empty: DefaultBaseURL.
	BaseURL string
}

// Provider is the adapter. Safe for concurrent use. Besides updates it creates,
// reads and lists drivers, and it is a tsp.Refresher.
type Provider struct {
	call *httpcall.Client
	base string
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
	return &Provider{call: call, base: strings.TrimRight(cfg.BaseURL, "/")}
}

// Describe gives the limits and the field table. No limits are published; the rate
// is a careful guess.
func (p *Provider) Describe() tsp.Description {
	return tsp.Description{
		Name: Name, Title: "GPS Insight",
		Access: "session, renewed from user name and password or an app token",
		Limits: tsp.Limits{PerSecond: 2, Burst: 4, InFlight: 2, Call: 45 * time.Second},
		Users:  table(),
		Create: &tsp.CreateRules{
			Required: []operation.Field{operation.FieldFirstName, operation.FieldLastName},
			Note:     "A repeat takes a driver with exactly the same values for its own. There is no password.",
		},
	}
}

// UpdateUser writes the changed parameters in one call. Where nothing is left to
// write, it finds out that the driver is there. Repeating it is harmless: all values
// are absolute.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	c, failure := p.client(conn, u.Changes)
	if failure != nil {
		return tsp.Result{}, failure
	}
	if !driverID.MatchString(u.SourceID) {
		return tsp.Result{}, operation.Refuse("not sent to gpsinsight: the driver's source id is no number")
	}
	refused := tsp.NewRefusals(Name)
	params := parameters(u.Changes, refused)
	if failure := refused.Failure(); failure != nil {
		return tsp.Result{}, failure
	}
	if len(params) == 0 {
		_, answer, err := c.driver(ctx, u.SourceID)
		return resultOf(answer), err
	}
	params["driver"] = u.SourceID
	answer, err := c.updateDriver(ctx, withTag(params, u.OperationID))
	if err != nil {
		return tsp.Result{}, err
	}
	return resultOf(answer), nil
}

// withTag adds the operation's id, which the provider repeats in its answer.
func withTag(params map[string]string, id uuid.UUID) map[string]string {
	if id != uuid.Nil {
		params["reference_tag"] = id.String()
	}
	return params
}

func resultOf(a httpcall.Answer) tsp.Result {
	return tsp.Result{StatusCode: a.Status, Header: a.Header, RetryAfter: a.Spent}
}
