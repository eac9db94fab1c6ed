package box

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"writeback/internal/sandbox"
)

// motiveField is what Motive takes under one key.
type motiveField struct {
	kind     string // text, flag, ints, list, object
	nullable bool
	driver   bool // dropped in silence unless the record is a driver
	fleet    bool // dropped in silence unless the record is a fleet user
	values   []string
	pattern  *regexp.Regexp
	hidden   bool // stored, never shown in an answer
}

var (
	motiveCycles = strings.Fields(`70_8 60_7 70_8_o 60_7_o 70_8_p 60_7_p 80_8 80_8_o 80_8_p tx_70_7
ak_70_7 ak_80_8 ak_70_7_o ak_80_8_o ak_70_7_p ak_80_8_p 70_7 120_14 80_7 120_14_north canada_oil Other`)
	motiveZones = []string{
		"Atlantic Time (Canada)", "Eastern Time (US & Canada)", "Indiana (East)", "Central Time (US & Canada)",
		"Saskatchewan", "Mountain Time (US & Canada)", "Arizona", "Pacific Time (US & Canada)", "Alaska",
	}
	motiveExceptions = []string{
		"exception_24_hour_restart", "exception_8_hour_break", "exception_wait_time",
		"exception_short_haul", "exception_ca_farm_school_bus", "exception_adverse_driving",
	}
	digits      = regexp.MustCompile(`^[0-9]{0,15}$`)
	dialCode    = regexp.MustCompile(`^\+[0-9]{1,3}$`)
	secondCycle = regexp.MustCompile(`^[a-z0-9_]+$|^Other$`) // an open set: newer tokens carry a year
)

// motiveFields is the table of writable keys. What is not in it is ignored.
func motiveFields() map[string]motiveField {
	text, flag := motiveField{kind: "text"}, motiveField{kind: "flag"}
	optional := motiveField{kind: "text", nullable: true}
	driverText := motiveField{kind: "text", nullable: true, driver: true}
	driverFlag := motiveField{kind: "flag", driver: true}
	driverEnum := func(values ...string) motiveField {
		return motiveField{kind: "text", driver: true, values: values}
	}
	t := map[string]motiveField{
		"email": optional, "username": driverText, "password": {kind: "text", hidden: true},
		"first_name": text, "last_name": text,
		"phone":              {kind: "text", nullable: true, pattern: digits},
		"phone_country_code": {kind: "text", nullable: true, pattern: dialCode},
		"phone_ext":          optional,
		"time_zone":          {kind: "text", values: motiveZones},
		"metric_units":       flag,
		"role":               {kind: "text", values: []string{"driver", "fleet_user", "admin"}},
		"status":             {kind: "text", values: []string{"active", "deactivated"}},
		"driver_company_id":  driverText, "drivers_license_number": driverText, "drivers_license_state": driverText,
		"cycle":              driverEnum(motiveCycles...),
		"cycle2":             {kind: "text", nullable: true, driver: true, pattern: secondCycle},
		"eld_mode":           driverEnum("logs", "none", "exempt"),
		"time_tracking_mode": {kind: "text", driver: true, hidden: true, values: []string{"logs", "timecards", "not_required"}},
		"violation_alerts":   driverEnum("never", "15_minutes", "30_minutes", "45_minutes", "1_hour"),
		"duty_status":        driverEnum("off_duty", "on_duty", "sleeper", "driving", "waiting"),
		"dot_id":             {kind: "text", nullable: true, driver: true, hidden: true},
		"group_ids":          {kind: "ints"},
		"group_visibility":   {kind: "text", fleet: true}, "custom_user_role": {kind: "object", fleet: true},
		"external_ids_attributes": {kind: "list"},
	}
	for _, key := range motiveExceptions {
		t[key], t[key+"2"] = driverFlag, driverFlag
	}
	for _, key := range []string{"yard_moves_enabled", "personal_conveyance_enabled", "manual_driving_enabled", "minute_logs", "export_combined", "export_recap", "export_odometers"} {
		t[key] = driverFlag
	}
	for _, key := range []string{"carrier_name", "carrier_street", "carrier_city", "carrier_state", "carrier_zip", "terminal_street", "terminal_city", "terminal_state", "terminal_zip"} {
		t[key] = driverText
	}
	return t
}

// check gives what is wrong with a value, or "". It never shows the value.
func (f motiveField) check(key string, v any) string {
	if v == nil {
		if f.nullable {
			return ""
		}
		return key + " can't be blank"
	}
	ok := false
	switch f.kind {
	case "text":
		return f.checkText(key, v)
	case "flag":
		_, ok = v.(bool)
	case "object":
		_, ok = v.(map[string]any)
	case "list":
		_, ok = v.([]any)
	case "ints":
		ok = isInts(v)
	}
	if !ok {
		return key + " has the wrong type"
	}
	return ""
}

func (f motiveField) checkText(key string, v any) string {
	s, ok := v.(string)
	switch {
	case !ok:
		return key + " has the wrong type"
	case len(s) > 255:
		return key + " is too long (maximum is 255 characters)"
	case f.values != nil && !slices.Contains(f.values, s):
		return key + " is not included in the list"
	case f.pattern != nil && !f.pattern.MatchString(s):
		return key + " is invalid"
	}
	return ""
}

func isInts(v any) bool {
	list, ok := v.([]any)
	for _, item := range list {
		n, isNumber := item.(json.Number)
		if !isNumber {
			return false
		}
		if _, err := n.Int64(); err != nil {
			return false
		}
	}
	return ok
}

// motiveAllows lists the exceptions that a cycle takes, besides adverse driving.
func motiveAllows(cycle string) []string {
	restart, rest, wait := "exception_24_hour_restart", "exception_8_hour_break", "exception_wait_time"
	short, farm := "exception_short_haul", "exception_ca_farm_school_bus"
	switch cycle {
	case "70_8", "60_7":
		return []string{restart, rest, short}
	case "70_8_o", "60_7_o":
		return []string{restart, rest, short, wait}
	case "80_8_o":
		return []string{restart, wait}
	case "80_8_p":
		return []string{restart, farm}
	case "80_8", "tx_70_7", "ak_70_7", "ak_80_8", "ak_70_7_o", "ak_80_8_o":
		return []string{restart}
	default:
		return nil
	}
}

// motiveRecord is a seeded user as it is stored. It carries keys that Writeback's
// model does not know.
func motiveRecord(p sandbox.SeedUser, _ time.Time) map[string]any {
	fields := map[string]any{
		"id": json.Number(p.SourceID), "first_name": p.FirstName, "last_name": p.LastName, "email": p.Email,
		"phone": p.Phone, "phone_country_code": "+1", "phone_ext": nil, "company_reference_id": nil,
		"time_zone": motiveZoneOf(p.TimeZone), "metric_units": false, "role": p.Role, "status": "active",
		"group_ids":      []any{json.Number("61001"), json.Number("9007199254740993")},
		"external_ids":   []any{map[string]any{"id": json.Number("70" + p.SourceID), "external_id": p.EmployeeNumber, "integration_name": "generic_tms"}},
		"safety_program": map[string]any{"program_ref": json.Number("9223372036854775807"), "coach": "weekly"},
		"created_at":     "2024-02-01T15:04:05Z", "updated_at": "2024-02-01T15:04:05Z",
	}
	if p.Role != "driver" {
		return fields
	}
	for key, v := range motiveDriverBlock() {
		fields[key] = v
	}
	fields["username"], fields["driver_company_id"] = p.Username, p.EmployeeNumber
	fields["drivers_license_number"], fields["drivers_license_state"] = p.LicenseNumber, p.LicenseRegion
	return fields
}

// motiveDriverBlock are the keys that only a driver has, with their defaults.
func motiveDriverBlock() map[string]any {
	block := map[string]any{
		"username": nil, "driver_company_id": nil, "drivers_license_number": nil, "drivers_license_state": nil,
		"joined_at": "2023-04-12", "duty_status": "off_duty", "eld_mode": "logs", "time_tracking_mode": "logs",
		"cycle": "70_8", "cycle2": nil, "violation_alerts": "1_hour", "dot_id": nil,
		"yard_moves_enabled": false, "personal_conveyance_enabled": false, "manual_driving_enabled": false,
		"minute_logs": true, "export_combined": false, "export_recap": false, "export_odometers": false,
	}
	for _, key := range motiveExceptions {
		block[key], block[key+"2"] = false, false
	}
	return block
}

func motiveZoneOf(iana string) string {
	switch iana {
	case "America/New_York":
		return "Eastern Time (US & Canada)"
	case "America/Denver":
		return "Mountain Time (US & Canada)"
	case "America/Los_Angeles":
		return "Pacific Time (US & Canada)"
	default:
		return "Central Time (US & Canada)"
	}
}

// motiveClaims are the values that must be unique in the company.
func motiveClaims(fields map[string]any) []string {
	claims := sandbox.ClaimOf(nil, "email", fields["email"])
	claims = sandbox.ClaimOf(claims, "username", fields["username"])
	ids, _ := fields["external_ids"].([]any)
	for _, e := range ids {
		id, _ := e.(map[string]any)
		claims = append(claims, externalIDClaim(sandbox.Text(id, "external_id"), sandbox.Text(id, "integration_name")))
	}
	return claims
}

func externalIDClaim(id, integration string) string {
	return fmt.Sprintf("external_id\x00%s\x00%s", integration, id)
}
