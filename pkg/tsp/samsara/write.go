package samsara

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// write is the body of a PATCH in the making: what the table gave, and the fields
// that depend on each other, on settings or on what the driver has now.
type write struct {
	changes  operation.Changes
	settings map[string]string
	refused  *tsp.Refusals
	rules    rulesets
	patch    map[string]any
	// sourceID names the driver. Empty: it is new.
	sourceID string
}

// beforeRead does everything that needs no look at the driver, and notes all
// refusals that can be known by then.
func (w *write) beforeRead() {
	w.activation()
	w.ruleset()
	w.compliance()
	if _, ok := w.patch[keyLocale]; ok && !on(w.settings, "write_locale") {
		w.refused.Add(operation.FieldCountryCode, "writing it changes units and rules; switch it on with the setting write_locale")
	}
	w.employeeNumber()
	first, hasFirst := given(w.changes, operation.FieldFirstName)
	last, hasLast := given(w.changes, operation.FieldLastName)
	if hasFirst && hasLast {
		w.name(first, last)
	}
	w.phoneBeforeRead()
	if region, ok := w.patch[keyState].(string); ok {
		w.licenseCountry(region)
	}
}

// needsRead reports whether the driver as it is must be known: to complete the
// write, or, where nothing is left to write, to find out that it is there.
func (w *write) needsRead() bool {
	c := w.changes
	return c.Has(operation.FieldFirstName) != c.Has(operation.FieldLastName) ||
		c.Has(operation.FieldPhoneCountryCode) && !c.Has(operation.FieldPhoneNumber) ||
		w.keepsPrefix() ||
		c.Has(operation.FieldLicenseCountry) && !c.Has(operation.FieldLicenseRegion) ||
		c.Has(operation.FieldHOSTrackingMethod) && !c.Has(operation.FieldHOSComplianceType) ||
		c.Has(operation.FieldDOTID) ||
		c.Has(operation.FieldEmployeeNumber) ||
		on(w.settings, "tag_scoped") ||
		len(w.patch) == 0
}

// writes reports whether anything is left to write. Tags alone are no change.
func (w *write) writes() bool {
	_, tags := w.patch[keyTags]
	return len(w.patch) > 1 || len(w.patch) == 1 && !tags
}

// afterRead completes the write with what the driver has now.
func (w *write) afterRead(d driver) {
	if first, ok := given(w.changes, operation.FieldFirstName); ok && !w.changes.Has(operation.FieldLastName) {
		_, last := splitName(d.Name)
		w.name(first, last)
	}
	if last, ok := given(w.changes, operation.FieldLastName); ok && !w.changes.Has(operation.FieldFirstName) {
		first, _ := splitName(d.Name)
		w.name(first, last)
	}
	if code, ok := given(w.changes, operation.FieldPhoneCountryCode); ok && !w.changes.Has(operation.FieldPhoneNumber) {
		w.reprefix(code, d.Phone)
	}
	if code, _ := parted(d.Phone); code != "" && w.keepsPrefix() {
		w.phone(joined(code, strings.TrimSpace(w.changes[operation.FieldPhoneNumber].Text())))
	}
	if !w.changes.Has(operation.FieldLicenseRegion) {
		w.licenseCountry(d.LicenseState)
	}
	w.tracking(d)
	w.carrier(d)
	w.externalIDs(d)
	if on(w.settings, "tag_scoped") {
		ids := make([]string, len(d.Tags))
		for i, tag := range d.Tags {
			ids[i] = tag.ID
		}
		w.patch[keyTags] = ids
	}
}

// activation refuses a status that says the opposite of is_active.
func (w *write) activation() {
	flag, hasFlag := w.changes.Get(operation.FieldIsActive)
	status, hasStatus := given(w.changes, operation.FieldStatus)
	if hasFlag && hasStatus && !flag.IsNull() && flag.Flag() != (status == operation.StatusActive) {
		w.refused.Add(operation.FieldStatus, "it contradicts is_active")
	}
}

// employeeNumber refuses a number that has no place, and one that would take from the
// user the id by which every later operation finds it.
func (w *write) employeeNumber() {
	v, ok := w.changes.Get(operation.FieldEmployeeNumber)
	if !ok {
		return
	}
	key := w.settings["employee_external_id"]
	switch {
	case key == "" || key == referenceKey || strings.HasPrefix(key, ownExternals):
		w.refused.Add(operation.FieldEmployeeNumber, "the setting employee_external_id names no external id for it")
	case strings.HasPrefix(w.sourceID, key+":") && w.sourceID != key+":"+v.Text():
		w.refused.Add(operation.FieldEmployeeNumber,
			"the user is named by this external id and would not be found any more; name it by the provider's own id to change it")
	}
}

func (w *write) ruleset() {
	v, ok := w.changes.Get(operation.FieldHOSRulesetCode)
	if !ok {
		return
	}
	if v.IsNull() {
		w.patch[keyRuleset] = nil
		return
	}
	rule, known := w.rules[v.Text()]
	if known && rule.Confidence != "strong" && !on(w.settings, "weak_rulesets") {
		w.refused.Add(operation.FieldHOSRulesetCode,
			"its match at Samsara is plausible but not certain; switch such rulesets on with the setting weak_rulesets")
		return
	}
	w.rules.copyTo(w.patch, v.Text())
}

func (w *write) compliance() {
	if w.patch[keyExempt] != true {
		return
	}
	if reason := w.settings["eld_exempt_reason"]; reason != "" {
		w.patch[keyReason] = reason
	}
	if method, ok := given(w.changes, operation.FieldHOSTrackingMethod); ok && method == operation.Automatic {
		w.refused.Add(operation.FieldHOSTrackingMethod, "an exempt driver is not tracked automatically")
	}
}

// tracking takes the only method there is for a driver that has it.
func (w *write) tracking(d driver) {
	if w.changes.Has(operation.FieldHOSTrackingMethod) && !w.changes.Has(operation.FieldHOSComplianceType) && d.Exempt != nil && *d.Exempt {
		w.refused.Add(operation.FieldHOSTrackingMethod,
			"the driver is exempt now and not tracked automatically; give hos_compliance_type non_exempt with it")
	}
}

func (w *write) name(first, last string) {
	name := strings.TrimSpace(strings.TrimSpace(first) + " " + strings.TrimSpace(last))
	switch {
	case name == "":
		w.refuseNames("the whole name would be empty")
	case utf8.RuneCountInString(name) > maxName:
		w.refuseNames("the whole name would be longer than 255 characters")
	default:
		w.patch[keyName] = name
	}
}

func (w *write) refuseNames(why string) {
	for _, f := range []operation.Field{operation.FieldFirstName, operation.FieldLastName} {
		if w.changes.Has(f) {
			w.refused.Add(f, "%s", why)
		}
	}
}

// splitName takes the last word of a name as the last name.
func splitName(name string) (first, last string) {
	name = strings.TrimSpace(name)
	i := strings.LastIndexByte(name, ' ')
	if i < 0 {
		return "", name
	}
	return strings.TrimSpace(name[:i]), name[i+1:]
}

func (w *write) phoneBeforeRead() {
	v, ok := w.changes.Get(operation.FieldPhoneNumber)
	if !ok {
		return
	}
	code, hasCode := given(w.changes, operation.FieldPhoneCountryCode)
	number := strings.TrimSpace(v.Text())
	switch {
	case hasCode && number == "":
		w.refused.Add(operation.FieldPhoneCountryCode, "there is no phone number for it")
	case hasCode && strings.HasPrefix(number, "+"):
		if !strings.HasPrefix(number, code) {
			w.refused.Add(operation.FieldPhoneCountryCode, "it contradicts the prefix of phone_number")
		}
		w.phone(number)
	case hasCode:
		w.phone(joined(code, number))
	default:
		w.phone(number)
	}
}

// keepsPrefix reports whether the number is written without a country code, so that the
// one that is stored stays.
func (w *write) keepsPrefix() bool {
	number, ok := given(w.changes, operation.FieldPhoneNumber)
	number = strings.TrimSpace(number)
	return ok && number != "" && !strings.HasPrefix(number, "+") && !w.changes.Has(operation.FieldPhoneCountryCode)
}

// joined is the number behind its country code, without what cannot stand there.
func joined(code, number string) string {
	digits := tsp.Digits(number)
	if len(tsp.AfterCode(digits, code[1:])) < len(digits) && number[0] == digits[0] {
		number = strings.TrimLeft(number[1:], " -./")
	}
	return code + " " + number
}

// reprefix gives the stored number another country code.
func (w *write) reprefix(code, stored string) {
	stored = strings.TrimSpace(stored)
	rest := stored
	if strings.HasPrefix(stored, "+") {
		_, after, ends := strings.Cut(stored, " ")
		if !ends {
			w.refused.Add(operation.FieldPhoneCountryCode,
				"the stored number does not show where its country code ends; send phone_number with it")
			return
		}
		rest = strings.TrimSpace(after)
	}
	if rest == "" {
		w.refused.Add(operation.FieldPhoneCountryCode, "the driver has no phone number; send phone_number with it")
		return
	}
	w.phone(code + " " + rest)
}

func (w *write) phone(number string) {
	if utf8.RuneCountInString(number) > maxPhone {
		w.refused.Add(operation.FieldPhoneNumber, "it is longer than %d characters", maxPhone)
		return
	}
	w.patch[keyPhone] = number
}

// licenseCountry accepts a country that the licence region implies.
func (w *write) licenseCountry(region string) {
	country, ok := given(w.changes, operation.FieldLicenseCountry)
	country = strings.ToUpper(country)
	if !ok || country != usa && country != canada {
		return // absent, or refused by the table
	}
	if countryOf(region) != country {
		w.refused.Add(operation.FieldLicenseCountry, "the provider stores no licence country, and the licence region does not imply this one")
	}
}

// carrier sends the whole object, since it is not published whether members that
// are left out are kept.
func (w *write) carrier(d driver) {
	digits, ok := given(w.changes, operation.FieldDOTID)
	if !ok {
		return
	}
	settings := d.CarrierSettings
	if settings == nil {
		settings = map[string]json.RawMessage{}
	}
	settings[keyDOT] = json.RawMessage(normalDigits(digits))
	w.patch[keyCarrier] = settings
}

// normalDigits drops leading zeros, which JSON numbers cannot have.
func normalDigits(digits string) string {
	if s := strings.TrimLeft(digits, "0"); s != "" {
		return s
	}
	return "0"
}

// externalIDs changes one key and sends all, for the same reason; the provider's
// own keys are not ours to send.
func (w *write) externalIDs(d driver) {
	v, ok := w.changes.Get(operation.FieldEmployeeNumber)
	if !ok {
		return
	}
	ids := make(map[string]string, len(d.ExternalIDs)+1)
	for key, value := range d.ExternalIDs {
		if !strings.HasPrefix(key, ownExternals) {
			ids[key] = value
		}
	}
	key := w.settings["employee_external_id"]
	if v.IsNull() || v.Text() == "" {
		delete(ids, key)
	} else {
		ids[key] = v.Text()
	}
	w.patch[keyExternal] = ids
}
