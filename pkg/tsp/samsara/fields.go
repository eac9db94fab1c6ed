package samsara

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// fields are what the driver says in unified fields. What Samsara does not store,
// and what may be read in two ways, is left out.
func (p *Provider) fields(d driver, settings map[string]string) operation.Changes {
	out := operation.Changes{
		operation.FieldIsDriver:      operation.Flag(true),
		operation.FieldUsername:      orNull(d.Username),
		operation.FieldUserEmail:     orNull(d.Email),
		operation.FieldLicenseNumber: orNull(d.License),
		operation.FieldLicenseRegion: orNull(d.LicenseState),
		operation.FieldNotes:         orNull(d.Notes),
	}
	switch d.Activation {
	case active:
		out[operation.FieldIsActive], out[operation.FieldStatus] = operation.Flag(true), operation.Text(operation.StatusActive)
	case deactivated:
		out[operation.FieldIsActive], out[operation.FieldStatus] = operation.Flag(false), operation.Text(operation.StatusInactive)
	}
	first, last := splitName(d.Name)
	out[operation.FieldFirstName], out[operation.FieldLastName] = orNull(first), orNull(last)
	d.phoneTo(out)
	for f, v := range map[operation.Field]*bool{
		operation.FieldAllowYardMove: d.YardMove, operation.FieldAllowPersonalConveyance: d.Conveyance,
		operation.FieldAllowAdverseDriving: d.Adverse,
	} {
		if v != nil {
			out[f] = operation.Flag(*v)
		}
	}
	if d.Exempt != nil {
		out[operation.FieldHOSComplianceType] = operation.Text(operation.NonExempt)
		if *d.Exempt {
			out[operation.FieldHOSComplianceType] = operation.Text(operation.Exempt)
		}
	}
	if slices.Contains(operation.TimeZones, d.Timezone) {
		out[operation.FieldDefaultTimeZone] = operation.Text(d.Timezone)
	}
	if key := settings["employee_external_id"]; key != "" {
		out[operation.FieldEmployeeNumber] = orNull(d.ExternalIDs[key])
	}
	if country := countryOfLocale[d.Locale]; country != "" && on(settings, "write_locale") {
		out[operation.FieldCountryCode] = operation.Text(country)
	}
	d.dotTo(out)
	if v, ok := p.rules.of(d, on(settings, "weak_rulesets")); ok {
		out[operation.FieldHOSRulesetCode] = v
	}
	return out
}

// listed are the fields as a list tells them.
func (p *Provider) listed(d driver, settings map[string]string) operation.Changes {
	_, likely := p.rules.of(d, true)
	return tsp.Unsaid(p.fields(d, settings), map[operation.Field]bool{
		operation.FieldDefaultTimeZone: d.Timezone != "", operation.FieldHOSRulesetCode: !likely,
	})
}

func orNull(s string) operation.Value {
	if s == "" {
		return operation.Null()
	}
	return operation.Text(s)
}

// phoneTo shows a number in its two parts.
func (d driver) phoneTo(out operation.Changes) {
	code, number := parted(d.Phone)
	if code != "" {
		out[operation.FieldPhoneCountryCode] = operation.Text(code)
	}
	out[operation.FieldPhoneNumber] = orNull(number)
}

// parted takes a number of the form in which we write it, "+1 5550100144", apart. Of
// another form there is no code.
func parted(phone string) (code, number string) {
	number = strings.TrimSpace(phone)
	if code, rest, ok := strings.Cut(number, " "); ok && prefix.MatchString(code) {
		return code, strings.TrimSpace(rest)
	}
	return "", number
}

// dotTo takes zero for none: it is what an empty carrier has.
func (d driver) dotTo(out operation.Changes) {
	digits := string(bytes.TrimSpace(d.CarrierSettings[keyDOT]))
	switch digits {
	case "", "null", "0":
		out[operation.FieldDOTID] = operation.Null()
	default:
		if _, err := dotNumber(operation.Text(digits)); err == nil {
			out[operation.FieldDOTID] = operation.Text(digits)
		}
	}
}

var countryOfLocale = func() map[string]string {
	out := make(map[string]string, len(locales))
	for country, l := range locales {
		out[l] = country
	}
	return out
}()

// of finds the ruleset code of a driver: null if it has no ruleset of its own,
// false if no code, or only one that must not be guessed, says what it has. Of
// several that fit the one that says most is right.
func (r rulesets) of(d driver, weak bool) (operation.Value, bool) {
	if raw := bytes.TrimSpace(d.Ruleset); len(raw) == 0 || string(raw) == "null" {
		return operation.Null(), true
	}
	has := map[string]json.RawMessage{
		keyRuleset: d.Ruleset, "eldBigDayExemptionEnabled": d.BigDay, "waitingTimeDutyStatusEnabled": d.Waiting,
	}
	best := ""
	for _, code := range slices.Sorted(maps.Keys(r)) {
		if r[code].fits(has) && (best == "" || len(r[code].Set) > len(r[best].Set)) {
			best = code
		}
	}
	if best == "" || r[best].Confidence != "strong" && !weak {
		return operation.Value{}, false
	}
	return operation.Text(best), true
}

func (r ruleset) fits(has map[string]json.RawMessage) bool {
	for key, want := range r.Set {
		if !sameJSON(has[key], want) {
			return false
		}
	}
	return true
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
