package box

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"writeback/internal/sandbox"
)

// geotabField is what a User holds under one key. When a Set leaves the key out,
// it falls back to the default; a key without one is gone.
type geotabField struct {
	kind   string // text, flag, number, refs, list, time
	max    int
	reset  any
	driver bool // exists only where isDriver is true
	server bool // computed by the server; a sent value is ignored
}

// wireTime is how times are written.
const wireTime = "2006-01-02T15:04:05.000Z07:00"

const never = "2050-01-01T00:00:00.000Z"

// geotabFields is the table of the keys that the object model has.
func geotabFields() map[string]geotabField {
	short := func(limit int) geotabField { return geotabField{kind: "text", max: limit, reset: ""} }
	flag := geotabField{kind: "flag", reset: false}
	refs := geotabField{kind: "refs", reset: []any{}}
	return map[string]geotabField{
		"id": {kind: "text"}, "name": {kind: "text", max: 255},
		"firstName": short(255), "lastName": short(255), "password": {kind: "text"},
		"isDriver": flag, "employeeNo": short(50), "designation": short(50), "comment": short(1024),
		"phoneNumber": short(20), "phoneNumberExtension": short(5), "countryCode": short(2),
		"licenseNumber":          {kind: "text", max: 255, reset: "", driver: true},
		"licenseProvince":        {kind: "text", max: 255, reset: "", driver: true},
		"driverGroups":           {kind: "refs", reset: []any{}, driver: true},
		"keys":                   {kind: "list", reset: []any{}, driver: true},
		"viewDriversOwnDataOnly": {kind: "flag", reset: false, driver: true},
		"carrierNumber":          short(255), "authorityName": short(255), "authorityAddress": short(255),
		"companyName": short(255), "companyAddress": short(255),
		"hosRuleSet":        {kind: "text", server: true},
		"isYardMoveEnabled": flag, "isPersonalConveyanceEnabled": flag, "isExemptHOSEnabled": flag, "isAdverseDrivingEnabled": flag,
		"maxPCDistancePerDay":    {kind: "number", reset: 0},
		"timeZoneId":             {kind: "text", reset: "America/New_York"},
		"activeFrom":             {kind: "time"},
		"activeTo":               {kind: "time", reset: never},
		"userAuthenticationType": {kind: "text", reset: "BasicAuthentication"},
		"changePassword":         flag, "sendWelcomeEmail": {kind: "flag"},
		"companyGroups": refs, "securityGroups": refs, "privateUserGroups": refs, "reportGroups": refs,
		"lastAccessDate": {kind: "time", server: true}, "isEULAAccepted": {kind: "flag", server: true},
		"iAMMetadata": {kind: "list", server: true}, "isAutoAdded": {kind: "flag", server: true},
	}
}

// geotabRecord is a seeded user. Its last keys are ones that Writeback's model
// does not know; a client that does not carry them along loses them.
func geotabRecord(p sandbox.SeedUser, _ time.Time) map[string]any {
	everything := []any{map[string]any{"id": "GroupCompanyId"}}
	return map[string]any{
		"id": p.SourceID, "name": p.Email, "firstName": p.FirstName, "lastName": p.LastName, "isDriver": true,
		"employeeNo": p.EmployeeNumber, "designation": "", "comment": "",
		"phoneNumber": "+1 " + p.Phone, "phoneNumberExtension": "", "countryCode": "us",
		"licenseNumber": p.LicenseNumber, "licenseProvince": p.LicenseRegion,
		"driverGroups": everything, "keys": []any{}, "viewDriversOwnDataOnly": true,
		"carrierNumber": "98231", "authorityName": "Northwind Freight", "authorityAddress": "1 Depot Road",
		"companyName": "Northwind", "companyAddress": "2 Depot Road",
		"isYardMoveEnabled": false, "isPersonalConveyanceEnabled": false, "isExemptHOSEnabled": false,
		"isAdverseDrivingEnabled": false, "maxPCDistancePerDay": 0,
		"timeZoneId": p.TimeZone, "activeFrom": sandbox.SeedTime.Format(wireTime), "activeTo": never,
		"userAuthenticationType": "BasicAuthentication", "changePassword": false,
		"companyGroups": everything, "privateUserGroups": []any{}, "reportGroups": []any{},
		"securityGroups": []any{map[string]any{"id": "GroupDriveUserSecurityId"}},
		"lastAccessDate": sandbox.SeedTime.Format(wireTime), "isEULAAccepted": true, "isAutoAdded": false,
		"isMetric": true, "language": "en", "firstDayOfWeek": "Sunday", "fuelEconomyUnit": "LitersPer100Km",
		"tags":         []any{map[string]any{"id": "tagNight", "color": "#203040"}},
		"scoreTicks":   json.Number("9223372036854775807"),
		"coachingPlan": map[string]any{"planId": json.Number("9007199254740993"), "weight": json.Number("0.10")},
	}
}

func geotabClaims(fields map[string]any) []string {
	return sandbox.ClaimOf(nil, "name", fields["name"])
}

var (
	countryCode = regexp.MustCompile(`^([A-Za-z]{2})?$`)
	geotabPhone = regexp.MustCompile(`^\+[0-9]{1,4} [0-9 ()\-.]+$`)
)

// check gives what is wrong with a value, or "". It never shows the value.
func (f geotabField) check(key string, v any) string {
	ok := false
	switch f.kind {
	case "text":
		s, isText := v.(string)
		if isText && f.max > 0 && utf8.RuneCountInString(s) > f.max {
			return fmt.Sprintf("%s is longer than %d characters", key, f.max)
		}
		ok = isText
	case "flag":
		_, ok = v.(bool)
	case "number":
		_, ok = v.(json.Number)
	case "list":
		_, ok = v.([]any)
	case "refs":
		ok = isRefs(v)
	case "time":
		s, _ := v.(string)
		_, err := time.Parse(time.RFC3339, s)
		ok = err == nil
	}
	if !ok {
		return key + " has the wrong type"
	}
	return ""
}

// isRefs reports whether v is a list of entities that are named by id.
func isRefs(v any) bool {
	list, ok := v.([]any)
	for _, item := range list {
		ref, _ := item.(map[string]any)
		if sandbox.Text(ref, "id") == "" {
			return false
		}
	}
	return ok
}

// geotabRules are those that concern one value's form or several values.
func (g *geotab) rules(e map[string]any) (kind, message string) {
	name, phone := sandbox.Text(e, "name"), sandbox.Text(e, "phoneNumber")
	switch {
	case name == "":
		return excArgumentNull, "name is required"
	case strings.Contains(name, " "):
		return excArgument, "name must not hold spaces"
	case !countryCode.MatchString(sandbox.Text(e, "countryCode")):
		return excArgument, "countryCode must be an ISO alpha-2 code"
	case strings.HasPrefix(phone, "+") && !geotabPhone.MatchString(phone):
		return excArgument, "phoneNumber must have a space between country code and number"
	case !g.zones.Valid(sandbox.Text(e, "timeZoneId")):
		return excArgument, "timeZoneId must be an IANA time zone"
	case endsEarly(e):
		return excArgument, "activeTo must not be before activeFrom"
	}
	switch sandbox.Text(e, "userAuthenticationType") {
	case "BasicAuthentication", "None", "WindowsAuthentication", "MyAdmin", "SAML", "ClientCertificate":
		return "", ""
	default:
		return excArgument, "userAuthenticationType is not known"
	}
}

// endsEarly reports whether the user would end before it begins.
func endsEarly(e map[string]any) bool {
	from, fromErr := time.Parse(time.RFC3339, sandbox.Text(e, "activeFrom"))
	to, toErr := time.Parse(time.RFC3339, sandbox.Text(e, "activeTo"))
	return fromErr == nil && toErr == nil && to.Before(from)
}
