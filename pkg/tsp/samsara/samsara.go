// Package samsara writes drivers to Samsara.
//
// A write is one PATCH of the driver with only the changed keys. It is preceded
// by one GET where a change cannot be told from the change alone: half a name, a
// country code without its number, a key inside an object. What Samsara cannot
// hold is refused before any call, all fields at once.
//
// It refuses to convert drivers to office users, to guess rulesets, and to decide
// anything on the text of an error, which Samsara changes at will.
//
// Settings of a connection:
//
//	employee_external_id  key of the external id that holds employee_number
//	eld_exempt_reason     text sent as reason when a driver becomes exempt
//	write_locale          "true": country_code is written; it changes units and rules
//	weak_rulesets         "true": rulesets whose match is plausible but not certain are written
//	tag_scoped            "true": the token is scoped by tags, so the driver's tags are sent along
package samsara

import (
	"context"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Name is the contract's source_name.
const Name = "samsara"

// DefaultURL is the published host; fleets in Europe and Canada have their own.
const DefaultURL = "https://api.samsara.com"

// Config of the adapter. The zero value is usable.
type Config struct {
	// BaseURL of the API, without a trailing slash. Empty: DefaultURL.
	BaseURL string
}

// Provider is the adapter. Safe for concurrent use.
type Provider struct {
	client client
	table  tsp.Table
	rules  rulesets
}

// New makes the adapter.
func New(call *httpcall.Client, cfg Config) *Provider {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultURL
	}
	rules := loadRulesets()
	return &Provider{client: client{call: call, base: cfg.BaseURL}, table: table(rules), rules: rules}
}

// Describe gives the limits and the field table. Samsara publishes classes of
// limits; a driver PATCH is taken to be in the slow one, 100 a minute.
// https://developers.samsara.com/docs/rate-limits
func (p *Provider) Describe() tsp.Description {
	return tsp.Description{
		Name:   Name,
		Limits: tsp.Limits{InFlight: 8, PerSecond: 1.6, Burst: 10, Call: 30 * time.Second},
		Users:  p.table,
	}
}

// UpdateUser writes the changes to the driver. Every error is an
// *operation.Failure.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, user tsp.UserUpdate) (tsp.Result, error) {
	s := session{client: p.client, conn: conn, user: user}
	if f := s.check(); f != nil {
		return tsp.Result{}, f
	}
	refused := tsp.NewRefusals(Name)
	w := &write{changes: user.Changes, settings: conn.Settings, refused: refused, rules: p.rules}
	w.patch = p.table.Apply(user.Changes, refused)
	w.beforeRead()
	if f := refused.Failure(); f != nil {
		return tsp.Result{}, f
	}
	if w.needsRead() {
		d, result, err := s.get(ctx)
		if err != nil {
			return tsp.Result{}, err
		}
		w.afterRead(d)
		if f := refused.Failure(); f != nil {
			return tsp.Result{}, f
		}
		if !w.writes() {
			return result, nil
		}
	}
	return s.patch(ctx, w.patch)
}

var _ tsp.Provider = (*Provider)(nil)

// on reports whether a switch of the connection is on.
func on(settings map[string]string, name string) bool { return settings[name] == "true" }

// given reports whether the field is written with a value, and gives its text.
func given(c operation.Changes, f operation.Field) (string, bool) {
	v, ok := c.Get(f)
	if !ok || v.IsNull() {
		return "", false
	}
	return v.Text(), true
}
