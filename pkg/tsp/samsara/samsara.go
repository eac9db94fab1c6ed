// Package samsara creates, writes, lists and reads drivers at Samsara.
//
// An update is one PATCH of the driver with only the changed keys. It is preceded
// by one GET where a change cannot be told from the change alone: half a name, a
// country code without its number or a number without it, a key inside an object. What Samsara cannot
// hold is refused before any call, all fields at once. The answer is looked at for
// the e-mail address, which older tenants drop in silence; whether the provider has
// kept the rest is for a later read to find out.
//
// A create is one POST with a generated password that nobody learns: the fleet
// gives the driver another. It carries the operation's id, as 32 hex digits, in
// the external id "writeback", so that a repeat finds the driver that an earlier
// attempt made.
//
// A list walks the active drivers and then the deactivated ones, which Samsara
// never gives together.
//
// It refuses to make or change office users, to guess rulesets, and to decide
// anything on the text of an error, which Samsara changes at will.
//
// Credentials of a connection are an access_token alone (an API token, which does
// not expire), or those of OAuth: client_id and client_secret with an auth_code, which
// the first refresh exchanges, or with what it gave: access_token, refresh_token and
// expires_at (RFC 3339). A refresh token works once, so that nobody else may use it
// beside Writeback.
//
// Settings of a connection:
//
//	region                "us", "eu" or "ca": the organisation's region; without it that of the USA
//	employee_external_id  key of the external id that holds employee_number
//	eld_exempt_reason     text sent as reason when a driver becomes exempt
//	write_locale          "true": country_code is written; it changes units and rules
//	weak_rulesets         "true": rulesets whose match is plausible but not certain are written
//	tag_scoped            "true": the token is scoped by tags, so the driver's tags are sent along
//	create_tags           ids of the tags of a new driver, with commas; tag_scoped tokens need it
package samsara

import (
	"context"
	"slices"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Name is the contract's source_name.
const Name = "samsara"

// The published hosts. An organisation lives in one region.
const (
	DefaultBaseURL = "https://api.samsara.com"
	EuropeBaseURL  = "https://api.eu.samsara.com"
	CanadaBaseURL  = "https://api.ca.samsara.com"
)

// Config of the adapter. The zero value is usable.
type Config struct {
	// BaseURL of the API for every region, without a trailing slash. Empty: the host of
	// the connection's region.
	BaseURL string
	// Now is the clock from which a new token's end is counted. Nil: time.Now.
	Now func() time.Time
}

// Provider is the adapter. Safe for concurrent use.
type Provider struct {
	client client
	table  tsp.Table
	rules  rulesets
	now    func() time.Time
}

// New makes the adapter.
func New(call *httpcall.Client, cfg Config) *Provider {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	rules := loadRulesets()
	return &Provider{client: client{call: call, base: cfg.BaseURL}, table: table(rules), rules: rules, now: cfg.Now}
}

// Describe gives the limits and the field table. Samsara publishes classes of
// limits; a driver PATCH is taken to be in the slow one, 100 a minute.
// https://developers.samsara.com/docs/rate-limits
func (p *Provider) Describe() tsp.Description {
	return tsp.Description{
		Name: Name, Title: "Samsara",
		Access: "API token, or an OAuth access token, renewed from a refresh token",
		Limits: tsp.Limits{InFlight: 8, PerSecond: 1.6, Burst: 10, Call: 30 * time.Second},
		Users:  p.table,
		Create: &tsp.CreateRules{
			Required: slices.Clone(requiredToCreate),
			Note:     "makes an active driver with a password that nobody learns; office users and inactive drivers cannot be created",
		},
	}
}

// UpdateUser writes the changes to the driver. Every error is an
// *operation.Failure.
func (p *Provider) UpdateUser(ctx context.Context, conn tsp.Connection, user tsp.UserUpdate) (tsp.Result, error) {
	s := p.session(conn, user.Changes)
	if f := s.checkUser(user.SourceID); f != nil {
		return tsp.Result{}, f
	}
	refused := tsp.NewRefusals(Name)
	w := p.write(conn, user.Changes, refused)
	w.sourceID = user.SourceID
	w.beforeRead()
	if f := refused.Failure(); f != nil {
		return tsp.Result{}, f
	}
	id := user.SourceID
	if w.needsRead() {
		d, result, err := s.get(ctx, id)
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
		id = d.ID // its own id stays, whatever becomes of an external one
	}
	return s.patch(ctx, id, w.patch)
}

func (p *Provider) write(conn tsp.Connection, changes operation.Changes, refused *tsp.Refusals) *write {
	return &write{
		changes: changes, settings: conn.Settings, refused: refused, rules: p.rules,
		patch: p.table.Apply(changes, refused),
	}
}

// The whole port: Samsara can do everything that it asks.
var (
	_ tsp.Provider  = (*Provider)(nil)
	_ tsp.Creator   = (*Provider)(nil)
	_ tsp.Lister    = (*Provider)(nil)
	_ tsp.Reader    = (*Provider)(nil)
	_ tsp.Refresher = (*Provider)(nil)
)

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
