package geotab

import (
	"encoding/json"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// never is the end of a user that has none.
const never = "2050-01-01T00:00:00.000Z"

func wireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// plan is what will be written, and what stands against it.
type plan struct {
	changes operation.Changes
	table   tsp.Table
	refused *tsp.Refusals
	// patch are the keys of the user that change.
	patch map[string]any
	// ruleset is the name to add. Empty: none.
	ruleset string
	// email, number and code wait for the present user. Empty: not wanted, or
	// refused already.
	email, number, code string
}

// plan maps the changes as far as they can be mapped without reading the user.
func (p *Provider) plan(settings map[string]string, changes operation.Changes) *plan {
	if v, ok := changes.Get(operation.FieldPhoneNumber); ok && v.IsNull() {
		// Number and country code are one text there, which is cleared as a whole.
		changes = withoutNullCode(changes)
	}
	pl := &plan{changes: changes, table: p.table(settings), refused: tsp.NewRefusals(Name)}
	pl.patch = pl.table.Apply(changes, pl.refused)
	if v, ok := changes.Get(operation.FieldHOSRulesetCode); ok && !v.IsNull() {
		if name, err := p.ruleset(v.Text(), settings); err == nil {
			pl.ruleset = name
		}
	}
	pl.checkStatus()
	pl.checkCarrier()
	pl.checkPhone()
	pl.checkEmail()
	return pl
}

func withoutNullCode(changes operation.Changes) operation.Changes {
	out := make(operation.Changes, len(changes))
	for f, v := range changes {
		if f != operation.FieldPhoneCountryCode || !v.IsNull() {
			out[f] = v
		}
	}
	return out
}

// early fails a write that is refused without a read, unless the read could tell
// of further refusals.
func (p *plan) early() *operation.Failure {
	if p.needsUser() {
		return nil
	}
	return p.refused.Failure()
}

// orRefused prefers what was refused already to a read that failed.
func (p *plan) orRefused(err error) error {
	if f := p.refused.Failure(); f != nil {
		return f
	}
	return err
}

// needsUser reports whether a rule that may refuse depends on the present user.
func (p *plan) needsUser() bool {
	driver, hasDriver := p.changes.Get(operation.FieldIsDriver)
	return p.writesLicense() || p.email != "" || p.number != "" || p.code != "" || hasDriver && !driver.IsNull()
}

func (p *plan) textOf(f operation.Field) string { return p.changes[f].Text() }

func (p *plan) writesLicense() bool {
	return p.changes.Has(operation.FieldLicenseNumber) || p.changes.Has(operation.FieldLicenseRegion)
}

// settle applies the rules that depend on the present user and reports everything
// that was refused.
func (p *plan) settle(user entity, now time.Time) *operation.Failure {
	p.driver(user)
	p.writeEmail(user)
	p.writePhone(user)
	p.activity(user, now)
	if p.ruleset == user.text(keyRuleset) {
		p.ruleset = ""
	}
	return p.refused.Failure()
}

// driver keeps the driver block whole: it exists on drivers only.
func (p *plan) driver(user entity) {
	v, ok := p.changes.Get(operation.FieldIsDriver)
	wanted, isDriver := ok && v.Flag(), user.flag("isDriver")
	switch {
	case wanted && !isDriver:
		groups, has := user["companyGroups"]
		if !has {
			p.refused.Add(operation.FieldIsDriver, "the user has no company groups to drive for")
			return
		}
		p.patch["isDriver"], p.patch["driverGroups"] = true, groups
		if _, has := user["keys"]; !has {
			p.patch["keys"] = json.RawMessage("[]")
		}
	case ok && !v.IsNull() && !wanted && isDriver:
		p.refused.Add(operation.FieldIsDriver, "a driver is not made an office user: the provider would drop the driver's data")
	}
	if isDriver || wanted {
		return
	}
	for _, f := range []operation.Field{operation.FieldLicenseRegion, operation.FieldLicenseNumber} {
		if v, has := p.changes.Get(f); has && !v.IsNull() {
			p.refused.Add(f, "only drivers have a licence, and the user is none")
		}
	}
	// There is nothing to clear, and the keys must not come into being.
	delete(p.patch, keyLicenseRegion)
	delete(p.patch, keyLicenseNumber)
}

func (p *plan) checkEmail() {
	v, ok := p.changes.Get(operation.FieldUserEmail)
	name, given := p.changes.Get(operation.FieldUsername)
	if _, err := emailName(v); !ok || err != nil {
		return
	}
	switch {
	case !given:
		p.email = v.Text()
	case !name.IsNull() && !strings.EqualFold(name.Text(), v.Text()):
		p.refused.Add(operation.FieldUserEmail, "the provider has one login name for both, and username is another")
	}
}

// writeEmail writes the login name, where the login name is an e-mail.
func (p *plan) writeEmail(user entity) {
	switch {
	case p.email == "":
	case isEmail(user.text(keyName)):
		p.patch[keyName] = p.email
	default:
		p.refused.Add(operation.FieldUserEmail, "the user's login name is no e-mail, and the provider has no other place for one")
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

// activity moves the user's end, and a beginning that lies ahead, which must not come
// after the end. A user that is in the wanted state stays.
func (p *plan) activity(user entity, now time.Time) {
	var active bool
	switch flag, status := p.changes[operation.FieldIsActive], p.textOf(operation.FieldStatus); {
	case status != "":
		active = status == operation.StatusActive
	case p.changes.Has(operation.FieldIsActive):
		active = flag.Flag()
	default:
		return
	}
	from, hasFrom := user.moment("activeFrom")
	to, hasTo := user.moment(keyActiveTo)
	begun := !hasFrom || !from.After(now)
	ended := hasTo && !to.After(now)
	switch {
	case active && !begun:
		p.patch["activeFrom"], p.patch[keyActiveTo] = wireTime(now), never
	case active && ended:
		p.patch[keyActiveTo] = never
	case !active && !ended && !begun:
		p.patch["activeFrom"], p.patch[keyActiveTo] = wireTime(now), wireTime(now)
	case !active && !ended:
		p.patch[keyActiveTo] = wireTime(now)
	}
}

// checkCarrier refuses two values for the one carrier number.
func (p *plan) checkCarrier() {
	number, hasNumber := p.changes.Get(operation.FieldCarrierNumber)
	dot, hasDOT := p.changes.Get(operation.FieldDOTID)
	if hasNumber && hasDOT && number.Text() != dot.Text() {
		p.refused.Add(operation.FieldDOTID, "the provider has one carrier number, and carrier_number is another")
	}
}
