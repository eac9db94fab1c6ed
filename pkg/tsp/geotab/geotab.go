// Package geotab reads and writes users at MyGeotab by its JSON-RPC interface: for
// an update the user is read, changed and set back as a whole, and the ruleset is
// added as a dated entry of its own.
//
// It refuses what MyGeotab cannot hold before any call that changes something.
// It never removes a user, never turns a driver into an office user and never
// touches the password of a user that is there. MyGeotab has no optimistic lock: an edit by somebody
// else between the read and the write is lost, so the two are made back to back.
//
// Settings of a connection:
//
//	weak_rulesets  "true": rulesets whose match is plausible but not certain are written
//	company_group  id of the group that new users belong to, instead of the whole company
package geotab

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Name is the contract's source_name.
const Name = "geotab"

// DefaultBaseURL is where every database can be logged in to.
const DefaultBaseURL = "https://my.geotab.com"

// Config of a Provider. The zero value is usable.
type Config struct {
	// BaseURL is that of the login server, without /apiv1. A login may
	// move a connection to another server. Empty: DefaultBaseURL.
	BaseURL string
	// Now is the clock for the dates that are written. Nil: time.Now.
	Now func() time.Time
}

// Provider is the adapter. Safe for concurrent use. Besides updates it creates,
// reads and lists users, and it is a tsp.Refresher: a login gives a session_id and
// the host that serves the database.
type Provider struct {
	call     *httpcall.Client
	server   server
	now      func() time.Time
	rulesets map[string]rulesetName
	// codes are the rulesets by the provider's name.
	codes map[string]string
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
		call: call, server: newServer(cfg.BaseURL), now: cfg.Now, rulesets: rulesets, codes: codesOf(rulesets),
	}
}

// Describe gives the limits and the field table. The rate of writes is not
// published; 100 a minute is assumed.
func (p *Provider) Describe() tsp.Description {
	return tsp.Description{
		Name: Name, Title: "Geotab",
		Access: "session, renewed from user name and password",
		Limits: tsp.Limits{PerSecond: 1.6, Burst: 10, InFlight: 4, Call: 60 * time.Second},
		Users:  p.table(nil),
		Create: &tsp.CreateRules{
			Required: []operation.Field{operation.FieldUsername, operation.FieldFirstName, operation.FieldLastName},
			Instead:  map[operation.Field]operation.Field{operation.FieldUsername: operation.FieldUserEmail},
			Note: "user_email may stand for username. The user is a driver unless is_driver is false, " +
				"and gets a generated password that must be changed.",
		},
	}
}

// UpdateUser reads the user, sets it back with the changes, and adds the ruleset
// if it is another than the present one. Repeating it is harmless: the set holds
// absolute values, and the read shows whether the ruleset was added already.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	c, failure := p.client(conn, u.Changes)
	if failure != nil {
		return tsp.Result{}, failure
	}
	c.moved = u.Repeat && p.settled(conn.Credentials)
	if u.SourceID == "" {
		return tsp.Result{}, operation.Refuse("not sent to geotab: the user has no id there")
	}
	plan := p.plan(conn.Settings, u.Changes)
	if failure = plan.early(); failure != nil {
		return tsp.Result{}, failure
	}
	user, answer, err := c.getUser(ctx, u.SourceID)
	if err != nil {
		return tsp.Result{}, plan.orRefused(err)
	}
	if failure = plan.settle(user, p.now()); failure != nil {
		return tsp.Result{}, failure
	}
	return p.write(ctx, c, plan, user, answer)
}

// write makes the calls that change something. answer is that of the read. A dry
// run goes through both of them.
func (p *Provider) write(ctx context.Context, c client, plan *plan, user entity, answer httpcall.Answer) (tsp.Result, error) {
	var drafted, err error
	written := ""
	if len(plan.patch) > 0 {
		written = "the other fields were"
		answer, err = c.setUser(ctx, user.with(plan.patch))
		switch {
		case errors.Is(err, httpcall.ErrDraft):
			drafted = err
		case err != nil:
			return tsp.Result{}, err
		}
	}
	if plan.ruleset != "" {
		if answer, err = c.addRuleset(ctx, user.text("id"), plan.ruleset, p.now()); err != nil {
			return tsp.Result{}, partial(err, written)
		}
	}
	if drafted != nil {
		return tsp.Result{}, drafted
	}
	return resultOf(answer), nil
}

// partial says in the failure of the ruleset what has been written. Empty: nothing.
func partial(err error, written string) error {
	var f *operation.Failure
	if written == "" || !errors.As(err, &f) {
		return err
	}
	out := *f
	out.Detail = "partly written: " + written + ", hos_ruleset_code is not confirmed: " + f.Detail
	return &out
}

// entity is a MyGeotab object as read, so that unknown keys and long numbers go
// back exactly as they came.
type entity map[string]json.RawMessage

// with gives a copy of the entity with the keys of the patch.
func (e entity) with(patch map[string]any) map[string]any {
	out := make(map[string]any, len(e)+len(patch))
	for key, raw := range e {
		out[key] = raw
	}
	delete(out, "password") // write-only: whatever stands there is none
	for key, v := range patch {
		out[key] = v
	}
	return out
}

// text is the string at a key, or "" for anything else.
func (e entity) text(key string) string {
	var s string
	if json.Unmarshal(e[key], &s) != nil {
		return ""
	}
	return s
}

// flag is the boolean at a key, or false for anything else.
func (e entity) flag(key string) bool {
	var b bool
	return json.Unmarshal(e[key], &b) == nil && b
}

// moment is the time at a key, and whether there is a readable one.
func (e entity) moment(key string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339, e.text(key))
	return at, err == nil
}
