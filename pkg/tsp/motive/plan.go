package motive

import (
	"context"
	"maps"
	"slices"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// plan is what will be sent, and what stands against it.
type plan struct {
	changes operation.Changes
	table   tsp.Table
	refused *tsp.Refusals
	hos     hosModes
	// body is the flat JSON of the PUT.
	body map[string]any
	// extra are the keys that a field writes beside its Target.
	extra map[operation.Field][]string
}

// plan maps the changes as far as they can be mapped without reading the user.
func (p *Provider) plan(settings map[string]string, changes operation.Changes) *plan {
	pl := &plan{
		changes: changes,
		table:   p.table(settings),
		refused: tsp.NewRefusals(Name),
		extra:   map[operation.Field][]string{},
	}
	pl.body = pl.table.Apply(changes, pl.refused)
	for _, f := range []operation.Field{operation.FieldUsername, operation.FieldUserEmail} {
		if v, ok := changes.Get(f); ok {
			pl.body[pl.table.Rule(f).Target] = v.Any()
		}
	}
	pl.checkStatus()
	pl.joinPhone()
	pl.checkLicenseCountry()
	if v, ok := changes.Get(operation.FieldHOSRulesetCode); ok && !v.IsNull() {
		if rules, err := p.ruleset(v.Text(), settings); err == nil {
			maps.Copy(pl.body, rules.keys())
			pl.extra[operation.FieldHOSRulesetCode] = exceptionKeys
		}
	}
	pl.hos = newHOSModes(changes, settings)
	return pl
}

// settle reads the user if a rule depends on it, applies those rules and reports
// everything that was refused. It changes nothing at the provider. The answer is that
// of the read.
func (p *plan) settle(ctx context.Context, c client, id string) (answer httpcall.Answer, err error) {
	role, _ := p.body[keyRole].(string)
	var current map[string]any
	if p.hos.needsUser() || role == roleFleetUser || (role == "" && p.writesDriverFields()) {
		current, answer, err = c.getUser(ctx, id)
		if err != nil {
			if f := p.refused.Failure(); f != nil {
				return answer, f
			}
			return answer, err
		}
	}
	if role == "" {
		role = text(current, keyRole)
	}
	p.checkRole(role)
	p.keepRole(text(current, keyRole))
	p.applyHOS(current)
	if f := p.refused.Failure(); f != nil {
		return answer, f
	}
	if len(p.body) == 0 && current == nil {
		return answer, operation.Refuse("not sent to motive: there is nothing to write")
	}
	return answer, nil
}

// keepRole leaves the role of whoever is no driver: an admin would lose its rights.
func (p *plan) keepRole(role string) {
	if p.body[keyRole] == roleFleetUser && role != roleDriver {
		delete(p.body, keyRole)
	}
}

// driverOnly are the fields that exist on drivers only; Motive drops them in
// silence for everybody else.
var driverOnly = map[operation.Field]bool{
	operation.FieldUsername:                true,
	operation.FieldEmployeeNumber:          true,
	operation.FieldLicenseRegion:           true,
	operation.FieldLicenseNumber:           true,
	operation.FieldHOSRulesetCode:          true,
	operation.FieldAllowYardMove:           true,
	operation.FieldAllowPersonalConveyance: true,
	operation.FieldAllowAdverseDriving:     true,
	operation.FieldDOTID:                   true,
	operation.FieldHOSComplianceType:       true,
	operation.FieldHOSTrackingMethod:       true,
}

// driverFields lists the driver-only fields that are about to be sent.
func (p *plan) driverFields() []operation.Field {
	var fields []operation.Field
	for _, f := range p.changes.Fields() {
		_, sent := p.body[p.table.Rule(f).Target]
		if driverOnly[f] && (sent || (isHOS(f) && p.hos.wanted)) {
			fields = append(fields, f)
		}
	}
	return fields
}

func (p *plan) writesDriverFields() bool { return len(p.driverFields()) > 0 }

func (p *plan) checkRole(role string) {
	if role == "" || role == roleDriver {
		return
	}
	for _, f := range p.driverFields() {
		p.refused.Add(f, "only drivers have this field, and the user is none")
	}
	p.hos.wanted = false
}

func (p *plan) applyHOS(current map[string]any) {
	if !p.hos.wanted {
		return
	}
	eld, tracking, err := p.hos.resolve(text(current, keyELDMode), text(current, keyTimeTracking))
	if err != nil {
		p.refused.Add(p.hos.fields[0], "%s", err)
		return
	}
	p.body[keyELDMode], p.body[keyTimeTracking] = eld, tracking
	for _, f := range p.hos.fields {
		p.extra[f] = []string{keyTimeTracking}
	}
}

func (p *plan) checkStatus() {
	active, hasActive := p.changes.Get(operation.FieldIsActive)
	status, hasStatus := p.changes.Get(operation.FieldStatus)
	if !hasActive || !hasStatus || active.IsNull() || status.IsNull() {
		return
	}
	if active.Flag() != (status.Text() == operation.StatusActive) {
		p.refused.Add(operation.FieldStatus, "does not agree with is_active")
	}
}

// notApplied lists the unified fields of which the answer shows another value
// than the one sent. A key that the answer does not have tells nothing.
func (p *plan) notApplied(user map[string]any) []string {
	var missed []string
	for _, f := range p.changes.Fields() {
		keys := append([]string{p.table.Rule(f).Target}, p.extra[f]...)
		if slices.ContainsFunc(keys, func(key string) bool { return p.differs(key, user) }) {
			missed = append(missed, string(f))
		}
	}
	return missed
}

func (p *plan) differs(key string, user map[string]any) bool {
	sent, wasSent := p.body[key]
	got, shown := user[key]
	if !wasSent || !shown {
		return false
	}
	if s, ok := sent.(bool); ok {
		return got != s
	}
	// A cleared text may come back as null or as an empty string. Logins are
	// stored in lower case, and outer spaces are stripped.
	s, _ := sent.(string)
	g, isText := got.(string)
	if !isText && got != nil {
		return true
	}
	s, g = strings.TrimSpace(s), strings.TrimSpace(g)
	if key == keyEmail || key == keyUsername {
		return !strings.EqualFold(s, g)
	}
	return s != g
}
