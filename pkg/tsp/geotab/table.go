package geotab

import (
	_ "embed" // the ruleset table
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// table is the field table under a connection's settings. Only the values that
// are taken depend on them. Texts are cleared with "": the provider knows no null.
func (p *Provider) table(settings map[string]string) tsp.Table {
	return tsp.Table{
		{Field: operation.FieldUsername, Target: keyName, Convert: loginName},
		{Field: operation.FieldIsActive, Target: keyActiveTo, Joint: true, Note: "The end is set to now or to 2050, a beginning that lies ahead to now."},
		{Field: operation.FieldStatus, Target: keyActiveTo, Joint: true, Note: "The end is set to now or to 2050, a beginning that lies ahead to now."},
		{Field: operation.FieldIsDriver, Target: "isDriver", Joint: true, Note: "A driver is not made an office user."},
		{Field: operation.FieldUserDesignation, Target: "designation", Clear: tsp.ClearEmpty, Convert: atMost(50)},
		{Field: operation.FieldUserEmail, Target: keyName, Joint: true, Convert: emailName,
			Note: "The login name, where that is an e-mail."},
		{Field: operation.FieldFirstName, Target: "firstName", Convert: atMost(255)},
		{Field: operation.FieldLastName, Target: "lastName", Convert: atMost(255)},
		{Field: operation.FieldPhoneNumber, Target: keyPhone, Clear: tsp.ClearEmpty, Convert: phoneText,
			Note: "One text with the country code, at most 20 characters."},
		{Field: operation.FieldCountryCode, Target: keyCountry, Clear: tsp.ClearEmpty, Convert: alpha2},
		{Field: operation.FieldLicenseCountry},
		{Field: operation.FieldLicenseRegion, Target: keyLicenseRegion, Clear: tsp.ClearEmpty, Convert: province,
			Note: "Drivers only. Of US-OH or CA-ON the two letters are written."},
		{Field: operation.FieldLicenseNumber, Target: keyLicenseNumber, Clear: tsp.ClearEmpty, Note: "Drivers only."},
		{Field: operation.FieldLicenseExpiration},
		{Field: operation.FieldEmployeeNumber, Target: "employeeNo", Clear: tsp.ClearEmpty, Convert: atMost(50)},
		{Field: operation.FieldCarrierNumber, Target: keyCarrier, Clear: tsp.ClearEmpty},
		{Field: operation.FieldNotes, Target: "comment", Clear: tsp.ClearEmpty},
		{Field: operation.FieldHOSRulesetCode, Target: keyRuleset, Joint: true, Convert: p.rulesetBy(settings),
			Note: "Added as a dated entry of its own, after the other fields."},
		{Field: operation.FieldAllowYardMove, Target: "isYardMoveEnabled", Clear: tsp.ClearFalse},
		{Field: operation.FieldAllowPersonalConveyance, Target: "isPersonalConveyanceEnabled", Clear: tsp.ClearFalse},
		{Field: operation.FieldAllowAdverseDriving, Target: "isAdverseDrivingEnabled", Clear: tsp.ClearFalse},
		{Field: operation.FieldDefaultTimeZone, Target: keyZone},
		{Field: operation.FieldDOTID, Target: keyCarrier, Clear: tsp.ClearEmpty, Note: "The same place as carrier_number."},
		{Field: operation.FieldPhoneCountryCode, Target: keyPhone, Joint: true, Convert: dialDigits,
			Note: "One text with the number; cleared only together with it."},
		{Field: operation.FieldHOSComplianceType, Target: keyExempt, Clear: tsp.ClearFalse, Convert: exempt,
			Note: "Whether the driver may select exempt, the nearest that the provider has."},
		{Field: operation.FieldHOSTrackingMethod, Convert: automatic,
			Note: "the provider records hours of service automatically only"},
	}
}

// Keys of a user that more than one rule speaks about.
const (
	keyName     = "name"
	keyActiveTo = "activeTo"
	keyRuleset  = "hosRuleSet"
	keyCarrier  = "carrierNumber"
	keyCountry  = "countryCode"
	keyZone     = "timeZoneId"
	keyExempt   = "isExemptHOSEnabled"
)

// Keys of the driver block.
const (
	keyLicenseRegion = "licenseProvince"
	keyLicenseNumber = "licenseNumber"
)

const maxName = 255

func atMost(limit int) func(operation.Value) (any, error) {
	return func(v operation.Value) (any, error) {
		if utf8.RuneCountInString(v.Text()) > limit {
			return nil, fmt.Errorf("is longer than the provider's %d characters", limit)
		}
		return v.Text(), nil
	}
}

func loginName(v operation.Value) (any, error) {
	if v.Text() == "" || strings.ContainsAny(v.Text(), " \t\r\n") {
		return nil, errors.New("must be a login name without spaces")
	}
	return atMost(maxName)(v)
}

func emailName(v operation.Value) (any, error) {
	if !isEmail(v.Text()) {
		return nil, errors.New("must be an e-mail address")
	}
	return loginName(v)
}

func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@")
}

// phoneText gives the national digits without a 0 before them, as far as they can be told
// without the country code, for comparing; writePhone writes the number.
func phoneText(v operation.Value) (any, error) {
	number, err := parsePhone(v.Text())
	switch {
	case err != nil:
		return nil, err
	case number.international:
		return strings.TrimPrefix(number.national(number.code), "0"), nil
	}
	return strings.TrimPrefix(number.national("1"), "0"), nil
}

func dialDigits(v operation.Value) (any, error) { return dialCode(v) }

func dialCode(v operation.Value) (string, error) {
	code := strings.TrimSpace(v.Text())
	d := tsp.Digits(code)
	if code != "+"+d || d == "" || len(d) > 4 || d[0] == '0' {
		return "", errors.New("must be a plus sign and one to four digits, the first of them not 0")
	}
	return d, nil
}

// alpha2 needs the standard's table of countries, which x/text keeps, with those that were
// withdrawn.
func alpha2(v operation.Value) (any, error) {
	region, err := language.ParseRegion(v.Text())
	if err != nil || !region.IsCountry() || region.Canonicalize() != region || region.ISO3() != strings.ToUpper(v.Text()) {
		return nil, errors.New("is no country of ISO 3166-1 alpha-3")
	}
	return strings.ToLower(region.String()), nil
}

// province is a state or province as licences have it; elsewhere it may be any text.
func province(v operation.Value) (any, error) {
	s := strings.ToUpper(strings.TrimSpace(v.Text()))
	if country, region, ok := strings.Cut(s, "-"); ok && (country == "US" || country == "CA") && len(region) == 2 {
		return region, nil
	}
	return v.Text(), nil
}

func exempt(v operation.Value) (any, error) { return v.Text() == operation.Exempt, nil }

func automatic(v operation.Value) (any, error) {
	if v.Text() == operation.Automatic {
		return tsp.Omit, nil
	}
	return nil, errors.New("the provider records hours of service automatically only")
}

//go:embed rulesets.json
var rulesetTable []byte

// rulesetName is the provider's name of a contract ruleset, without its prefix.
type rulesetName struct {
	Value string `json:"value"`
	// Weak marks a counterpart that is likely but not certain.
	Weak bool `json:"weak"`
}

// loadRulesets reads the embedded table; a damaged one refuses every ruleset.
func loadRulesets() map[string]rulesetName {
	var table map[string]rulesetName
	if json.Unmarshal(rulesetTable, &table) != nil {
		return nil
	}
	return table
}

// codesOf turns the table around. Each name is that of one ruleset.
func codesOf(table map[string]rulesetName) map[string]string {
	codes := make(map[string]string, len(table))
	for code, name := range table {
		codes[name.Value] = code
	}
	return codes
}

func (p *Provider) ruleset(code string, settings map[string]string) (string, error) {
	name, ok := p.rulesets[code]
	switch {
	case !ok:
		return "", errors.New("the provider has no such ruleset")
	case name.Weak && settings["weak_rulesets"] != "true":
		return "", errors.New("the provider's counterpart is not certain; the connection's setting weak_rulesets allows it")
	}
	return name.Value, nil
}

func (p *Provider) rulesetBy(settings map[string]string) func(operation.Value) (any, error) {
	return func(v operation.Value) (any, error) { return p.ruleset(v.Text(), settings) }
}
