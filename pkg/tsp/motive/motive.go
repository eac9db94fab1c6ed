// Package motive writes users to Motive by its public API: PUT /v1/users/{id}
// with the changed keys only.
//
// It refuses what Motive cannot hold, or would drop in silence, before any call
// that changes something; and it compares the answer with what was sent, since
// Motive ignores what it does not know. It never creates a user, never sets a
// duty status and never touches the second cycle.
//
// Settings of a connection:
//
//	non_driver_role       "fleet_user": is_driver false makes a driver a fleet user
//	exempt_time_tracking  "timecards": how exempt drivers are tracked, instead of not at all
//	weak_rulesets         "true": rulesets whose match is plausible but not certain are written
//	extra_time_zones      "true": zone names that only newer tenants know are written
package motive

import (
	"context"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Name is the contract's source_name.
const Name = "motive"

// DefaultBaseURL is Motive's public API.
const DefaultBaseURL = "https://api.gomotive.com"

// Config of a Provider. The zero value is usable.
type Config struct {
	// BaseURL of the API, without /v1. Empty: DefaultBaseURL.
	BaseURL string
}

// Provider is the adapter. Safe for concurrent use.
type Provider struct {
	call     *httpcall.Client
	base     string
	rulesets map[string]ruleset
}

// New makes the adapter.
func New(call *httpcall.Client, cfg Config) *Provider {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	return &Provider{call: call, base: strings.TrimRight(cfg.BaseURL, "/"), rulesets: loadRulesets()}
}

// Describe gives the limits and the field table. Motive publishes no numbers: the
// rate is a careful guess, the deadline covers its slow calls.
func (p *Provider) Describe() tsp.Description {
	return tsp.Description{
		Name:   Name,
		Limits: tsp.Limits{PerSecond: 5, Burst: 5, InFlight: 5, Call: 60 * time.Second},
		Users:  p.table(nil),
	}
}

// UpdateUser writes the changes in one PUT. It reads the user first where the
// driver's role or present hours-of-service modes decide what may be sent.
// Repeating it is harmless: all values are absolute.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	c, failure := p.client(conn, u)
	if failure != nil {
		return tsp.Result{}, failure
	}
	plan := p.plan(conn.Settings, u)
	if err := plan.settle(ctx, c); err != nil {
		return tsp.Result{}, err
	}
	user, answer, err := c.putUser(ctx, plan.body)
	if err != nil {
		return tsp.Result{}, err
	}
	if missed := plan.notApplied(user); len(missed) > 0 {
		f := operation.Refuse("motive: update user: the provider did not apply %s", strings.Join(missed, ", "))
		f.StatusCode, f.Header = answer.Status, answer.Header
		return tsp.Result{}, f
	}
	return tsp.Result{StatusCode: answer.Status, Header: answer.Header}, nil
}
