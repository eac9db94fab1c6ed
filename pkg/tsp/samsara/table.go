package samsara

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Keys of a driver that more than the table writes.
const (
	keyName     = "name"
	keyPhone    = "phone"
	keyRuleset  = "usDriverRulesetOverride"
	keyLocale   = "locale"
	keyExempt   = "eldExempt"
	keyReason   = "eldExemptReason"
	keyCarrier  = "carrierSettings"
	keyDOT      = "dotNumber"
	keyState    = "licenseState"
	keyExternal = "externalIds"
	keyTags     = "tagIds"
	keyActive   = "driverActivationStatus"
)

// Longest texts, in characters.
const (
	maxName     = 255
	maxUsername = 189
	maxPhone    = 255
	maxNotes    = 4096
)

// ownExternals starts the external ids that Samsara makes itself.
const ownExternals = "samsara."

// table is how each field of a user is written, in the contract's order. Samsara
// documents null for the ruleset only; other texts are cleared by "".
func table(rules rulesets) tsp.Table {
	return tsp.Table{
		{Field: operation.FieldUsername, Target: "username", Convert: username},
		{Field: operation.FieldIsActive, Target: keyActive, Convert: activeFlag},
		{Field: operation.FieldStatus, Target: keyActive, Convert: activeStatus},
		{
			Field: operation.FieldIsDriver, Convert: onlyDriver,
			Note: "a Samsara driver cannot be turned into an office user, or back",
		},
		{Field: operation.FieldUserDesignation, Note: "Samsara drivers have no role or title"},
		{Field: operation.FieldUserEmail, Target: "email", Clear: tsp.ClearEmpty},
		{
			Field: operation.FieldFirstName, Target: keyName, Joint: true,
			Note: "Samsara has one name; the other half is kept as its last word or what stands before it",
		},
		{Field: operation.FieldLastName, Target: keyName, Joint: true, Note: "see first_name"},
		{Field: operation.FieldPhoneNumber, Target: keyPhone, Clear: tsp.ClearEmpty, Joint: true},
		{
			Field: operation.FieldCountryCode, Target: keyLocale, Convert: locale,
			Note: "only for connections with the setting write_locale",
		},
		{
			Field: operation.FieldLicenseCountry, Convert: licenseCountry,
			Note: "Samsara stores no licence country; USA and CAN are accepted where the licence region agrees",
		},
		{Field: operation.FieldLicenseRegion, Target: keyState, Clear: tsp.ClearEmpty, Convert: licenseState},
		{Field: operation.FieldLicenseNumber, Target: "licenseNumber", Clear: tsp.ClearEmpty},
		{Field: operation.FieldLicenseExpiration, Note: "Samsara drivers have no licence expiry"},
		{
			Field: operation.FieldEmployeeNumber, Target: keyExternal, Clear: tsp.ClearNull, Joint: true,
			Note: "only for connections with the setting employee_external_id; a user whose source id is that external id keeps it",
		},
		{Field: operation.FieldCarrierNumber, Note: "Samsara drivers have no carrier number"},
		{Field: operation.FieldNotes, Target: "notes", Clear: tsp.ClearEmpty, Convert: atMost(maxNotes)},
		{
			Field: operation.FieldHOSRulesetCode, Target: keyRuleset, Clear: tsp.ClearNull, Convert: rules.convert, Joint: true,
			Note: "null removes the driver's own ruleset; some rulesets need the setting weak_rulesets",
		},
		{Field: operation.FieldAllowYardMove, Target: "eldYmEnabled", Clear: tsp.ClearFalse},
		{Field: operation.FieldAllowPersonalConveyance, Target: "eldPcEnabled", Clear: tsp.ClearFalse},
		{Field: operation.FieldAllowAdverseDriving, Target: "eldAdverseWeatherExemptionEnabled", Clear: tsp.ClearFalse},
		{Field: operation.FieldDefaultTimeZone, Target: "timezone"},
		{
			Field: operation.FieldDOTID, Target: keyCarrier, Convert: dotNumber, Joint: true,
			Note: "written as the carrier's USDOT number of this driver",
		},
		{Field: operation.FieldPhoneCountryCode, Target: keyPhone, Convert: phonePrefix, Joint: true, Note: "part of the phone number; where it is absent, the stored one stays"},
		{Field: operation.FieldHOSComplianceType, Target: keyExempt, Convert: exempt},
		{
			Field: operation.FieldHOSTrackingMethod, Convert: onlyAutomatic,
			Note: "Samsara has no tracking method; a non-exempt driver is tracked automatically",
		},
	}
}

func username(v operation.Value) (any, error) {
	switch {
	case v.Text() == "":
		return nil, errors.New("it must not be empty")
	case strings.ContainsAny(v.Text(), " @"):
		return nil, errors.New("the provider takes no space and no @ in it")
	}
	return atMost(maxUsername)(v)
}

func atMost(n int) func(operation.Value) (any, error) {
	return func(v operation.Value) (any, error) {
		if utf8.RuneCountInString(v.Text()) > n {
			return nil, fmt.Errorf("it is longer than %d characters", n)
		}
		return v.Text(), nil
	}
}

func activeFlag(v operation.Value) (any, error) {
	if v.Flag() {
		return "active", nil
	}
	return "deactivated", nil
}

func activeStatus(v operation.Value) (any, error) {
	return activeFlag(operation.Flag(v.Text() == operation.StatusActive))
}

func onlyDriver(v operation.Value) (any, error) {
	if !v.Flag() {
		return nil, errors.New("a driver cannot be turned into an office user")
	}
	return tsp.Omit, nil
}

// locales are the countries that Samsara has a locale for.
var locales = map[string]string{
	"USA": "us", "AUT": "at", "BEL": "be", "CAN": "ca", "GBR": "gb", "FRA": "fr", "DEU": "de", "IRL": "ie",
	"ITA": "it", "LUX": "lu", "MEX": "mx", "NLD": "nl", "ESP": "es", "CHE": "ch", "PRI": "pr",
}

func locale(v operation.Value) (any, error) {
	l, ok := locales[strings.ToUpper(v.Text())]
	if !ok {
		return nil, errors.New("the provider has no locale for this country")
	}
	return l, nil
}

// Countries whose licences Samsara tells apart by their region.
const (
	usa    = "USA"
	canada = "CAN"
)

func licenseCountry(v operation.Value) (any, error) {
	switch strings.ToUpper(v.Text()) {
	case usa, canada:
		return tsp.Omit, nil
	}
	return nil, errors.New("the provider stores no licence country, and only USA and CAN follow from the licence region")
}

var twoLetters = regexp.MustCompile(`^[A-Z]{2}$`)

func licenseState(v operation.Value) (any, error) {
	s := strings.ToUpper(strings.TrimSpace(v.Text()))
	if len(s) > 2 {
		s = strings.TrimPrefix(strings.TrimPrefix(s, "US-"), "CA-")
	}
	if !twoLetters.MatchString(s) {
		return nil, errors.New("it must be the two-letter code of a US state or territory or a Canadian province")
	}
	return s, nil
}

var provinces = map[string]bool{
	"AB": true, "BC": true, "MB": true, "NB": true, "NL": true, "NS": true, "NT": true,
	"NU": true, "ON": true, "PE": true, "QC": true, "SK": true, "YT": true,
}

// countryOf is the country of a licence region. Samsara knows US and Canadian
// ones only. Empty: there is no region.
func countryOf(state string) string {
	switch {
	case state == "":
		return ""
	case provinces[strings.ToUpper(state)]:
		return canada
	default:
		return usa
	}
}

func dotNumber(v operation.Value) (any, error) {
	n, err := strconv.ParseUint(v.Text(), 10, 63)
	if err != nil {
		return nil, errors.New("it must be digits only")
	}
	return n, nil
}

var prefix = regexp.MustCompile(`^\+[1-9][0-9]{0,3}$`)

func phonePrefix(v operation.Value) (any, error) {
	if !prefix.MatchString(v.Text()) {
		return nil, errors.New("it must be a plus sign and one to four digits, the first of them not 0")
	}
	return v.Text(), nil
}

func exempt(v operation.Value) (any, error) { return v.Text() == operation.Exempt, nil }

func onlyAutomatic(v operation.Value) (any, error) {
	if v.Text() != operation.Automatic {
		return nil, errors.New("the provider has no tracking method; only automatic can be accepted")
	}
	return tsp.Omit, nil
}
