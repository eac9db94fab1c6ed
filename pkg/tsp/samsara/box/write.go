package box

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"writeback/internal/sandbox"
)

// SamsaraTime is the form in which Samsara writes times.
const SamsaraTime = "2006-01-02T15:04:05.000Z07:00"

// samsaraTags are the tags that every organisation has.
var samsaraTags = map[string]map[string]any{
	"3914": {"id": "3914", "name": "East Coast", "parentTagId": "4815"},
	"3920": {"id": "3920", "name": "Line haul", "parentTagId": "4815"},
	"4815": {"id": "4815", "name": "Drivers"},
}

// samsaraRecord is a seeded driver. It carries keys that Writeback's model does
// not know, so that a loss shows.
func samsaraRecord(p sandbox.SeedUser, _ time.Time) map[string]any {
	return map[string]any{
		"id": p.SourceID, "name": p.FirstName + " " + p.LastName, "username": p.Username,
		"phone": "+1 " + p.Phone, "licenseNumber": p.LicenseNumber, "licenseState": p.LicenseRegion,
		"timezone": p.TimeZone, "locale": "us", "notes": "",
		"driverActivationStatus": "active", "isDeactivated": false,
		"eldExempt": false, "eldPcEnabled": false, "eldYmEnabled": false,
		"eldAdverseWeatherExemptionEnabled": false, "eldBigDayExemptionEnabled": false,
		"eldDayStartHour": 0, "waitingTimeDutyStatusEnabled": false,
		"carrierSettings": map[string]any{
			"carrierName": "Northwind Freight", "dotNumber": 98231,
			"homeTerminalAddress": "1 Depot Road", "homeTerminalName": "Main", "mainOfficeAddress": "2 Depot Road",
		},
		"externalIds": map[string]any{"payrollId": p.EmployeeNumber, "samsara.badge": "badge-" + p.SourceID},
		"tags":        []any{samsaraTags["3914"]}, "vehicleGroupTag": samsaraTags["3920"],
		"coachingAssignment": map[string]any{"coachId": json.Number("9007199254740993"), "cadence": "weekly"},
		"createdAtTime":      sandbox.SeedTime.Format(time.RFC3339), "updatedAtTime": sandbox.SeedTime.Format(SamsaraTime),
	}
}

// samsaraClaims are the values that must be unique in the organisation.
func samsaraClaims(fields map[string]any) []string {
	claims := sandbox.ClaimOf(nil, "username", fields["username"])
	if number, state := sandbox.Text(fields, "licenseNumber"), sandbox.Text(fields, "licenseState"); number != "" && state != "" {
		claims = sandbox.ClaimOf(claims, "licenseNumber", number+"/"+state)
	}
	ids, _ := fields["externalIds"].(map[string]any)
	for key, value := range ids {
		if v, _ := value.(string); v != "" {
			claims = append(claims, externalClaim(key, v))
		}
	}
	return claims
}

func externalClaim(key, value string) string { return "externalIds\x00" + key + ":" + value }

// body reads and checks the shape of a request body.
func (s *samsara) body(x *sandbox.Exchange) (body map[string]any, refusal *sandbox.Answer) {
	bad := func(status int, message string) *sandbox.Answer {
		a := s.fail(x, status, message)
		return &a
	}
	if !x.IsJSON() {
		return nil, bad(http.StatusBadRequest, "Content-Type must be application/json")
	}
	if err := sandbox.DecodeJSON(x.Body, &body); err != nil || body == nil {
		return nil, bad(http.StatusBadRequest, "Invalid JSON: the body must be one object")
	}
	schema, checked := s.schema.create, body
	if x.User != nil {
		schema = s.schema.update
		// Null is documented for this key alone: it deletes the override.
		if v, sent := body["usDriverRulesetOverride"]; sent && v == nil {
			checked = maps.Clone(body)
			delete(checked, "usDriverRulesetOverride")
		}
	}
	if message := s.schema.check(schema, checked); message != "" {
		return nil, bad(http.StatusBadRequest, message)
	}
	if message := s.rules(body); message != "" {
		return nil, bad(http.StatusBadRequest, message)
	}
	return body, nil
}

func (s *samsara) patch(x *sandbox.Exchange) sandbox.Answer {
	body, refusal := s.body(x)
	if refusal != nil {
		return *refusal
	}
	u := x.User
	u.Lock()
	defer u.Unlock()
	next := maps.Clone(u.Fields)
	s.apply(next, body)
	if conflict := x.Account.Claim(u, samsaraClaims(next)); conflict != "" {
		return s.fail(x, http.StatusBadRequest, "Duplicate value for "+conflict)
	}
	u.Fields = next
	u.Applied++
	x.Applied = u.Applied
	return s.one(x, next)
}

func (s *samsara) create(x *sandbox.Exchange) sandbox.Answer {
	body, refusal := s.body(x)
	if refusal != nil {
		return *refusal
	}
	// A new driver starts as a seeded one without a person.
	fields := map[string]any{
		"driverActivationStatus": "active", "isDeactivated": false, "timezone": "America/Los_Angeles",
		"eldExempt": false, "eldPcEnabled": false, "eldYmEnabled": false,
		"eldAdverseWeatherExemptionEnabled": false, "eldBigDayExemptionEnabled": false,
		"eldDayStartHour": 0, "waitingTimeDutyStatusEnabled": false,
		"createdAtTime": s.now().UTC().Format(time.RFC3339),
	}
	s.apply(fields, body)
	u := &sandbox.User{Fields: fields, Applied: 1}
	u.Lock()
	defer u.Unlock()
	conflict := x.Account.Add(u, samsaraClaims(fields), func(n int) string {
		id := fmt.Sprintf("%d", 52_000_000_000+n)
		fields["id"] = id
		return id
	})
	if conflict != "" {
		return s.fail(x, http.StatusBadRequest, "Duplicate value for "+conflict)
	}
	x.Applied = 1
	return s.one(x, fields)
}

// rules are those that the document gives in words only.
func (s *samsara) rules(body map[string]any) string {
	username, hasUsername := body["username"].(string)
	zone, hasZone := body["timezone"].(string)
	switch {
	case hasUsername && strings.ContainsAny(username, " @"):
		return "Invalid value for username. Must not hold spaces or '@'"
	case hasZone && !s.zones.Valid(zone):
		return "Invalid value for timezone. Must be an IANA time zone"
	}
	if state, _ := body["licenseState"].(string); state != "" && !sandbox.IsLicenseRegion(state) {
		return "Invalid value for licenseState. Must be the abbreviation of a state, territory or province"
	}
	if email, _ := body["email"].(string); email != "" && !strings.Contains(strings.Trim(email, "@"), "@") {
		return "Invalid value for email"
	}
	if born, _ := body["dateOfBirth"].(string); born != "" {
		if _, err := time.Parse(time.DateOnly, born); err != nil {
			return "Invalid value for dateOfBirth. Must be YYYY-MM-DD"
		}
	}
	if message := wholeNumbers(body); message != "" {
		return message
	}
	if message := s.deactivation(body); message != "" {
		return message
	}
	return s.tags(body)
}

// wholeNumbers refuses what JSON Schema takes for an integer and an int64 is not.
func wholeNumbers(body map[string]any) string {
	check := func(name string, v any) string {
		if n, ok := v.(json.Number); ok {
			if _, err := n.Int64(); err != nil {
				return "Invalid value for " + name + ". Must be a 64-bit integer"
			}
		}
		return ""
	}
	if message := check("eldDayStartHour", body["eldDayStartHour"]); message != "" {
		return message
	}
	carrier, _ := body["carrierSettings"].(map[string]any)
	return check("carrierSettings.dotNumber", carrier["dotNumber"])
}

func (s *samsara) deactivation(body map[string]any) string {
	at, sent := body["deactivatedAtTime"].(string)
	if !sent {
		return ""
	}
	if body["driverActivationStatus"] != "deactivated" {
		return "deactivatedAtTime can only be given with driverActivationStatus 'deactivated'"
	}
	t, err := time.Parse(time.RFC3339, at)
	now := s.now()
	if err != nil || t.After(now) || t.Before(now.AddDate(0, -6, 0)) {
		return "Invalid value for deactivatedAtTime. Must be an RFC 3339 time at most 6 months ago"
	}
	return ""
}

func (s *samsara) tags(body map[string]any) string {
	ids, _ := body["tagIds"].([]any)
	if s.scoped && len(ids) == 0 {
		return "Missing required field \"tagIds\". The token is scoped by tags"
	}
	for _, id := range ids {
		if samsaraTags[id.(string)] == nil {
			return "Invalid value for tagIds. Tag not found"
		}
	}
	for _, key := range []string{"peerGroupTagId", "vehicleGroupTagId", "trailerGroupTagId"} {
		if id, _ := body[key].(string); id != "" && samsaraTags[id] == nil {
			return "Invalid value for " + key + ". Tag not found"
		}
	}
	return ""
}

// apply turns request keys into those of a driver. Only keys present change;
// nested objects are replaced, since nothing says that they merge.
func (s *samsara) apply(fields, body map[string]any) {
	for key, v := range body {
		switch key {
		case "password", "hosSetting", "profileImageBase64", "deactivatedAtTime": // not readable
		case "tagIds":
			tags := []any{}
			for _, id := range v.([]any) {
				tags = append(tags, samsaraTags[id.(string)])
			}
			fields["tags"] = tags
		case "peerGroupTagId", "vehicleGroupTagId", "trailerGroupTagId":
			setOrDelete(fields, strings.TrimSuffix(key, "Id"), samsaraTags[v.(string)])
		case "staticAssignedVehicleId":
			fields["staticAssignedVehicle"] = map[string]any{"id": v, "name": "Vehicle"}
		case "usDriverRulesetOverride":
			override, _ := v.(map[string]any)
			setOrDelete(fields, key, override)
		case "driverActivationStatus":
			fields[key], fields["isDeactivated"] = v, v == "deactivated"
		case "carrierSettings":
			fields[key] = carrierSettings(v.(map[string]any))
		default:
			fields[key] = v
		}
	}
	fields["updatedAtTime"] = s.now().UTC().Format(SamsaraTime)
}

func setOrDelete(fields map[string]any, key string, v map[string]any) {
	if v == nil {
		delete(fields, key)
		return
	}
	fields[key] = v
}

func carrierSettings(sent map[string]any) map[string]any {
	out := map[string]any{
		"carrierName": "", "dotNumber": 0, "homeTerminalAddress": "", "homeTerminalName": "", "mainOfficeAddress": "",
	}
	maps.Copy(out, sent)
	return out
}
