// Package motive reads and writes users at Motive by its public API: an update is
// a PUT of the changed keys only.
//
// It refuses what Motive cannot hold, or would drop in silence, before any call
// that changes something; and it compares the answer with what was sent, since
// Motive ignores what it does not know. It never sets a duty status, never touches
// the second cycle and never changes the password of a user that is there.
//
// A connection has an api_key, or an access_token with what its renewal needs:
// refresh_token, or at first auth_code, and client_id, client_secret and
// redirect_uri. A refresh replaces the refresh token and sets expires_at.
//
// Settings of a connection:
//
//	non_driver_role       "fleet_user": is_driver false makes a driver a fleet user; others stay what they are
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
	// Now is the clock of the tokens. Nil: time.Now.
	Now func() time.Time
}

// Provider is the adapter. Safe for concurrent use. Besides updates it creates,
// reads and lists users, and it is a tsp.Refresher.
type Provider struct {
	call     *httpcall.Client
	base     string
	now      func() time.Time
	rulesets map[string]ruleset
	// codes are the rulesets by what they become.
	codes map[rulesetValue]string
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
	rulesets := loadRulesets()
	return &Provider{
		call: call, base: strings.TrimRight(cfg.BaseURL, "/"), now: cfg.Now,
		rulesets: rulesets, codes: codesOf(rulesets),
	}
}

// Describe gives the limits and the field table. Motive publishes no numbers: five
// requests a second are a careful guess, and a write makes up to two; the deadline
// covers its slow calls.
func (p *Provider) Describe() tsp.Description {
	return tsp.Description{
		Name: Name, Title: "Motive",
		Access: "access token or API key, renewed from a refresh token where there is one",
		Limits: tsp.Limits{PerSecond: 2.5, Burst: 2, InFlight: 5, Call: 60 * time.Second},
		Users:  p.table(nil),
		Create: &tsp.CreateRules{
			Required: []operation.Field{operation.FieldUserEmail, operation.FieldFirstName, operation.FieldLastName},
			Instead:  map[operation.Field]operation.Field{operation.FieldUserEmail: operation.FieldUsername},
			Note: "A driver may have a username instead of user_email; it then gets a generated password. " +
				"The user is a driver unless is_driver is false.",
		},
	}
}

// UpdateUser writes the changes in one PUT. It reads the user first where the
// user's role or present hours-of-service modes decide what may be sent.
// Repeating it is harmless: all values are absolute.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	c, failure := p.client(conn, u.Changes)
	if failure != nil {
		return tsp.Result{}, failure
	}
	plan := p.plan(conn.Settings, u.Changes)
	answer, err := plan.settle(ctx, c, u.SourceID)
	if err != nil {
		return tsp.Result{}, err
	}
	if len(plan.body) == 0 {
		return resultOf(answer), nil // the user is no driver already
	}
	user, answer, err := c.putUser(ctx, u.SourceID, plan.body)
	if err != nil {
		return tsp.Result{}, err
	}
	if missed := plan.notApplied(user); len(missed) > 0 {
		return tsp.Result{}, refuseAfter(answer, "motive: update user: the provider did not apply %s", strings.Join(missed, ", "))
	}
	return resultOf(answer), nil
}

// refuseAfter is a refusal that was found out by an answer.
func refuseAfter(answer httpcall.Answer, format string, args ...any) *operation.Failure {
	f := operation.Refuse(format, args...)
	f.StatusCode, f.Header = answer.Status, answer.Header
	return f
}
