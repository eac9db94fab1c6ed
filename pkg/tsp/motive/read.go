package motive

import (
	"context"
	"maps"
	"slices"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// ReadUser gives what Motive shows of the user. Drivers show more than others; the
// DOT id and the time tracking mode are shown for nobody. Of a number with a country
// code that is not told from the number only the code is given: in what form it was
// sent cannot be known. Every error is an *operation.Failure.
func (p *Provider) ReadUser(ctx context.Context, conn tsp.Connection, sourceID string) (operation.Changes, error) {
	c, failure := p.client(conn, nil)
	if failure != nil {
		return nil, failure
	}
	user, _, err := c.getUser(ctx, sourceID)
	if err != nil {
		return nil, err
	}
	fields := p.fields(user)
	if code := fields[operation.FieldPhoneCountryCode].Text(); code != "" && !slices.Contains(knownCodes, tsp.Digits(code)) {
		delete(fields, operation.FieldPhoneNumber)
	}
	return fields, nil
}

// shownTexts are the fields whose value is a text as ours.
var shownTexts = map[operation.Field]string{
	operation.FieldUsername:         keyUsername,
	operation.FieldUserEmail:        keyEmail,
	operation.FieldFirstName:        "first_name",
	operation.FieldLastName:         "last_name",
	operation.FieldPhoneNumber:      keyPhone,
	operation.FieldPhoneCountryCode: keyPhoneCountry,
	operation.FieldLicenseRegion:    "drivers_license_state",
	operation.FieldLicenseNumber:    "drivers_license_number",
	operation.FieldEmployeeNumber:   "driver_company_id",
	operation.FieldDOTID:            "dot_id",
}

// shownFlags are the fields whose value is a boolean as ours.
var shownFlags = map[operation.Field]string{
	operation.FieldAllowYardMove:           "yard_moves_enabled",
	operation.FieldAllowPersonalConveyance: "personal_conveyance_enabled",
	operation.FieldAllowAdverseDriving:     "exception_adverse_driving",
}

// fields are what the user says in unified fields. What is not shown, or has no
// counterpart, is left out.
func (p *Provider) fields(user map[string]any) operation.Changes {
	out := operation.Changes{}
	for f, key := range shownTexts {
		switch v, shown := user[key]; v := v.(type) {
		case nil:
			if shown {
				out[f] = operation.Null()
			}
		case string:
			out[f] = orNull(v)
		}
	}
	for f, key := range shownFlags {
		if v, ok := user[key].(bool); ok {
			out[f] = operation.Flag(v)
		}
	}
	if role := text(user, keyRole); role != "" {
		out[operation.FieldIsDriver] = operation.Flag(role == roleDriver)
	}
	switch text(user, keyStatus) {
	case statusActive:
		out[operation.FieldIsActive], out[operation.FieldStatus] = operation.Flag(true), operation.Text(operation.StatusActive)
	case statusDeactivated:
		out[operation.FieldIsActive], out[operation.FieldStatus] = operation.Flag(false), operation.Text(operation.StatusInactive)
	}
	if zone, ok := ianaZones[text(user, keyTimeZone)]; ok {
		out[operation.FieldDefaultTimeZone] = operation.Text(zone)
	}
	if code, _ := p.rulesetOf(user); code != "" {
		out[operation.FieldHOSRulesetCode] = operation.Text(code)
	}
	modesOf(text(user, keyELDMode), out)
	return out
}

// listed are the fields as a list tells them.
func (p *Provider) listed(user map[string]any) operation.Changes {
	_, ruleset := p.rulesetOf(user)
	shown := map[operation.Field]bool{
		operation.FieldDefaultTimeZone: text(user, keyTimeZone) != "", operation.FieldHOSRulesetCode: ruleset,
	}
	if role := text(user, keyRole); role != "" && role != roleDriver {
		maps.Copy(shown, driverOnly) // what somebody had as a driver is gone
	}
	return tsp.Unsaid(p.fields(user), shown)
}

// modesOf reads the mode of the pair that is shown. It says all but how an exempt
// driver is tracked.
func modesOf(eld string, out operation.Changes) {
	switch eld {
	case modeExempt:
		out[operation.FieldHOSComplianceType] = operation.Text(operation.Exempt)
	case modeLogs:
		out[operation.FieldHOSComplianceType] = operation.Text(operation.NonExempt)
		out[operation.FieldHOSTrackingMethod] = operation.Text(operation.Automatic)
	case modeNone:
		out[operation.FieldHOSComplianceType] = operation.Text(operation.NonExempt)
		out[operation.FieldHOSTrackingMethod] = operation.Text(operation.Manual)
	}
}

func orNull(s string) operation.Value {
	if s == "" {
		return operation.Null()
	}
	return operation.Text(s)
}
