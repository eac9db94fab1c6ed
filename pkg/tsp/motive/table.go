package motive

import (
	"errors"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// table is the field table under a connection's settings. Only the values that
// are taken depend on them.
func (p *Provider) table(settings map[string]string) tsp.Table {
	return tsp.Table{
		{Field: operation.FieldUsername, Target: keyUsername, Clear: tsp.ClearNull, Joint: true, Convert: folded, Note: "Drivers only."},
		{Field: operation.FieldIsActive, Target: keyStatus, Convert: activeStatus},
		{Field: operation.FieldStatus, Target: keyStatus, Convert: activeStatus},
		{Field: operation.FieldIsDriver, Target: keyRole, Convert: roleBy(settings),
			Note: "False needs the connection's setting non_driver_role; who is no driver keeps the role."},
		{Field: operation.FieldUserDesignation},
		{Field: operation.FieldUserEmail, Target: keyEmail, Clear: tsp.ClearNull, Joint: true, Convert: folded},
		{Field: operation.FieldFirstName, Target: "first_name"},
		{Field: operation.FieldLastName, Target: "last_name"},
		{Field: operation.FieldPhoneNumber, Target: keyPhone, Clear: tsp.ClearNull, Joint: true, Convert: nationalDigits,
			Note: "Sent as national digits; a leading country code is taken off."},
		{Field: operation.FieldCountryCode},
		{Field: operation.FieldLicenseCountry, Convert: northAmerican,
			Note: "Motive holds no licence country; it is taken only with a license_region of that country."},
		{Field: operation.FieldLicenseRegion, Target: "drivers_license_state", Clear: tsp.ClearNull, Convert: regionCode,
			Note: "Drivers only. A two-letter state or province."},
		{Field: operation.FieldLicenseNumber, Target: "drivers_license_number", Clear: tsp.ClearNull, Note: "Drivers only."},
		{Field: operation.FieldLicenseExpiration},
		{Field: operation.FieldEmployeeNumber, Target: "driver_company_id", Clear: tsp.ClearNull, Note: "Drivers only."},
		{Field: operation.FieldCarrierNumber},
		{Field: operation.FieldNotes},
		{Field: operation.FieldHOSRulesetCode, Target: keyCycle, Joint: true, Convert: p.rulesetBy(settings),
			Note: "Drivers only. Written with all exceptions of the first cycle; the second cycle stays."},
		{Field: operation.FieldAllowYardMove, Target: "yard_moves_enabled", Clear: tsp.ClearFalse, Note: "Drivers only."},
		{Field: operation.FieldAllowPersonalConveyance, Target: "personal_conveyance_enabled", Clear: tsp.ClearFalse, Note: "Drivers only."},
		{Field: operation.FieldAllowAdverseDriving, Target: "exception_adverse_driving", Clear: tsp.ClearFalse, Note: "Drivers only."},
		{Field: operation.FieldDefaultTimeZone, Target: keyTimeZone, Convert: timeZoneBy(settings)},
		{Field: operation.FieldDOTID, Target: "dot_id", Clear: tsp.ClearNull, Note: "Drivers only."},
		{Field: operation.FieldPhoneCountryCode, Target: keyPhoneCountry, Clear: tsp.ClearNull, Convert: dialCode},
		{Field: operation.FieldHOSComplianceType, Target: keyELDMode, Joint: true, Note: "Drivers only. Written with time_tracking_mode."},
		{Field: operation.FieldHOSTrackingMethod, Target: keyELDMode, Joint: true, Note: "Drivers only. Written with time_tracking_mode."},
	}
}

// folded is how Motive keeps a login. It is sent as it is given.
func folded(v operation.Value) (any, error) { return strings.ToLower(v.Text()), nil }

// nationalDigits is how Motive keeps a number, as far as that can be told without
// its country code. What cannot be sent is refused by joinPhone.
func nationalDigits(v operation.Value) (any, error) {
	if national, _, err := splitPhone(v.Text(), ""); err == nil {
		return national, nil
	}
	return v.Text(), nil
}

func activeStatus(v operation.Value) (any, error) {
	if v.Flag() || v.Text() == operation.StatusActive {
		return statusActive, nil
	}
	return statusDeactivated, nil
}

func roleBy(settings map[string]string) func(operation.Value) (any, error) {
	return func(v operation.Value) (any, error) {
		switch {
		case v.Flag():
			return roleDriver, nil
		case settings["non_driver_role"] == roleFleetUser:
			return roleFleetUser, nil
		}
		return nil, errors.New("a driver needs another role instead; set the connection's non_driver_role to fleet_user to allow it")
	}
}

// regions of the two countries whose licences Motive knows by two letters. No
// letters are used by both.
var regions = map[string]string{
	"USA": " AL AK AZ AR CA CO CT DE DC FL GA GU HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA PR RI SC SD TN TX UT VT VI VA WA WV WI WY AS MP ",
	"CAN": " AB BC MB NB NL NS NT NU ON PE QC SK YT ",
}

func regionCode(v operation.Value) (any, error) {
	code := strings.ToUpper(strings.TrimSpace(v.Text()))
	code = strings.TrimPrefix(strings.TrimPrefix(code, "US-"), "CA-")
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return nil, errors.New("must be a two-letter state or province")
	}
	return code, nil
}

func northAmerican(v operation.Value) (any, error) {
	if _, known := regions[strings.ToUpper(v.Text())]; !known {
		return nil, errors.New("the provider holds no licence country, and its regions are those of USA and CAN")
	}
	return tsp.Omit, nil
}

// checkLicenseCountry takes a licence country only if the region of the same
// write already says it.
func (p *plan) checkLicenseCountry() {
	v, ok := p.changes.Get(operation.FieldLicenseCountry)
	known, isKnown := regions[strings.ToUpper(v.Text())]
	if !ok || !isKnown {
		return
	}
	region, _ := p.body["drivers_license_state"].(string)
	if region == "" || !strings.Contains(known, " "+region+" ") {
		p.refused.Add(operation.FieldLicenseCountry,
			"the provider holds no licence country; it is taken only with a license_region of that country")
	}
}

func dialCode(v operation.Value) (any, error) {
	digits, err := tsp.DialDigits(v)
	if err != nil {
		return nil, err
	}
	return "+" + digits.(string), nil
}

// joinPhone brings the number to national digits, which needs the country code.
func (p *plan) joinPhone() {
	v, ok := p.changes.Get(operation.FieldPhoneNumber)
	switch {
	case !ok:
		return
	case v.IsNull():
		p.body[keyPhone] = nil
		return
	}
	code, given := p.changes.Get(operation.FieldPhoneCountryCode)
	if _, taken := p.body[keyPhoneCountry]; given && !taken {
		return // the code is refused already; the number would only repeat it
	}
	national, found, err := splitPhone(v.Text(), strings.TrimSpace(code.Text()))
	if err != nil {
		p.refused.Add(operation.FieldPhoneNumber, "%s", err)
		return
	}
	p.body[keyPhone] = national
	if found != "" && !given {
		// Without it the record's old code would stand before the new number.
		p.body[keyPhoneCountry] = found
		p.extra[operation.FieldPhoneNumber] = []string{keyPhoneCountry}
	}
	if found != "" && given && code.IsNull() {
		p.refused.Add(operation.FieldPhoneCountryCode, "cannot be cleared: phone_number is written with a country code")
	}
}

// knownCodes are the country codes that are told from the number itself.
var knownCodes = []string{"1", "52"}

// splitPhone gives the national digits, and the country code if the number
// itself has one. code is the country code of the same write, or "".
func splitPhone(number, code string) (national, found string, err error) {
	number = strings.TrimSpace(number)
	rest, international := strings.CutPrefix(number, "+")
	d := tsp.Digits(rest)
	if d == "" || strings.ContainsFunc(rest, notPhone) {
		return "", "", errors.New("must be digits with the usual separators")
	}
	if !international && len(d) == 11 && d[0] == '1' && (code == "" || code == "+1") {
		international = true // no North American number has a national part like this
	}
	if !international {
		return d, "", nil
	}
	codes := knownCodes
	if code != "" {
		codes = []string{tsp.Digits(code)}
	}
	for _, c := range codes {
		if rest, ok := strings.CutPrefix(d, c); ok && rest != "" {
			return rest, "+" + c, nil
		}
	}
	if code != "" {
		return "", "", errors.New("does not begin with the phone_country_code given with it")
	}
	return "", "", errors.New("begins with a country code that the provider may not know; give phone_country_code with it")
}

func notPhone(r rune) bool { return !strings.ContainsRune("0123456789 -.()/\u00a0", r) }

func timeZoneBy(settings map[string]string) func(operation.Value) (any, error) {
	return func(v operation.Value) (any, error) {
		if zone, ok := zones[v.Text()]; ok {
			return zone, nil
		}
		if zone, ok := extraZones[v.Text()]; ok {
			if settings["extra_time_zones"] == "true" {
				return zone, nil
			}
			return nil, errors.New("only newer tenants know this zone; the connection's setting extra_time_zones allows it")
		}
		return nil, errors.New("the provider has no such time zone")
	}
}
