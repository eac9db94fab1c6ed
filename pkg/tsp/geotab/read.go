package geotab

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// ReadUser gives what MyGeotab holds of the user. The licence is there for drivers
// only, and the tracking method for nobody; that a driver may not select exempt is
// left out, since it stands for both non_exempt and null. Every error is an
// *operation.Failure.
func (p *Provider) ReadUser(ctx context.Context, conn tsp.Connection, sourceID string) (operation.Changes, error) {
	c, failure := p.client(conn, nil)
	if failure != nil {
		return nil, failure
	}
	if sourceID == "" {
		return nil, operation.Refuse("geotab: read user: the user has no id there")
	}
	user, _, err := c.getUser(ctx, sourceID)
	if err != nil {
		return nil, err
	}
	fields := p.fields(user)
	if fields[operation.FieldHOSComplianceType].Text() == operation.NonExempt {
		delete(fields, operation.FieldHOSComplianceType)
	}
	return fields, nil
}

// shownTexts are the fields whose value is a text as ours. The provider leaves out
// a key instead of showing a null.
var shownTexts = map[operation.Field]string{
	operation.FieldUsername:        keyName,
	operation.FieldUserDesignation: "designation",
	operation.FieldFirstName:       "firstName",
	operation.FieldLastName:        "lastName",
	operation.FieldEmployeeNumber:  "employeeNo",
	operation.FieldCarrierNumber:   keyCarrier,
	operation.FieldDOTID:           keyCarrier,
	operation.FieldNotes:           "comment",
}

// shownFlags are the fields whose value is a boolean as ours.
var shownFlags = map[operation.Field]string{
	operation.FieldIsDriver:                "isDriver",
	operation.FieldAllowYardMove:           "isYardMoveEnabled",
	operation.FieldAllowPersonalConveyance: "isPersonalConveyanceEnabled",
	operation.FieldAllowAdverseDriving:     "isAdverseDrivingEnabled",
}

// fields are what the user says in unified fields. What is not shown, or has no
// counterpart, is left out.
func (p *Provider) fields(user entity) operation.Changes {
	out := operation.Changes{}
	for f, key := range shownTexts {
		out[f] = orNull(user.text(key))
	}
	for f, key := range shownFlags {
		if _, shown := user[key]; shown {
			out[f] = operation.Flag(user.flag(key))
		}
	}
	if name := user.text(keyName); isEmail(name) {
		out[operation.FieldUserEmail] = operation.Text(name)
	}
	if user.flag("isDriver") {
		out[operation.FieldLicenseRegion] = orNull(user.text(keyLicenseRegion))
		out[operation.FieldLicenseNumber] = orNull(user.text(keyLicenseNumber))
	}
	out[operation.FieldPhoneNumber], out[operation.FieldPhoneCountryCode] = shownPhone(user.text(keyPhone))
	if country, ok := alpha3(user.text(keyCountry)); ok {
		out[operation.FieldCountryCode] = country
	}
	if zone := user.text(keyZone); slices.Contains(operation.TimeZones, zone) {
		out[operation.FieldDefaultTimeZone] = operation.Text(zone)
	}
	if code, ok := p.codes[user.text(keyRuleset)]; ok {
		out[operation.FieldHOSRulesetCode] = operation.Text(code)
	}
	if _, shown := user[keyExempt]; shown {
		out[operation.FieldHOSComplianceType] = operation.Text(operation.NonExempt)
		if user.flag(keyExempt) {
			out[operation.FieldHOSComplianceType] = operation.Text(operation.Exempt)
		}
	}
	p.activeTo(user, out)
	return out
}

// listed are the fields as a list tells them.
func (p *Provider) listed(user entity) operation.Changes {
	_, known := user["isDriver"]
	office := known && !user.flag("isDriver")
	return tsp.Unsaid(p.fields(user), map[operation.Field]bool{
		operation.FieldDefaultTimeZone: user.text(keyZone) != "", operation.FieldHOSRulesetCode: user.text(keyRuleset) != "",
		// What somebody had as a driver is gone.
		operation.FieldLicenseRegion: office, operation.FieldLicenseNumber: office,
	})
}

// activeTo adds whether the user is active now, if it has dates at all.
func (p *Provider) activeTo(user entity, out operation.Changes) {
	from, hasFrom := user.moment("activeFrom")
	to, hasTo := user.moment(keyActiveTo)
	if !hasFrom && !hasTo {
		return
	}
	now := p.now()
	if (!hasFrom || !from.After(now)) && (!hasTo || to.After(now)) {
		out[operation.FieldIsActive], out[operation.FieldStatus] = operation.Flag(true), operation.Text(operation.StatusActive)
		return
	}
	out[operation.FieldIsActive], out[operation.FieldStatus] = operation.Flag(false), operation.Text(operation.StatusInactive)
}

// shownPhone takes the one text apart: the code ends at the space, or where it is
// known to end.
func shownPhone(text string) (number, code operation.Value) {
	text = strings.TrimSpace(text)
	parsed, err := parsePhone(text)
	if err != nil || parsed.code == "" {
		return orNull(text), operation.Null()
	}
	head, rest, spaced := strings.Cut(text, " ")
	if spaced && head == "+"+tsp.Digits(head) && strings.TrimSpace(rest) != "" {
		return operation.Text(strings.TrimSpace(rest)), operation.Text(head)
	}
	return orNull(parsed.national(parsed.code)), operation.Text("+" + parsed.code)
}

// alpha3 is the contract's code of a country; false: it has none.
func alpha3(code string) (operation.Value, bool) {
	if code == "" {
		return operation.Null(), true
	}
	region, err := language.ParseRegion(code)
	if err != nil || !region.IsCountry() || !strings.EqualFold(region.String(), code) {
		return operation.Null(), false
	}
	return operation.Text(region.ISO3()), true
}

func orNull(s string) operation.Value {
	if s == "" {
		return operation.Null()
	}
	return operation.Text(s)
}
