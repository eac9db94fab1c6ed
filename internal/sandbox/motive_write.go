package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// read takes the body of a write and drops the keys that Motive would not look
// at: unknown ones, and those of another role.
func (m *motive) read(x *exchange, roleNow string) (map[string]any, *answer) {
	refuse := func(status int, message string) (map[string]any, *answer) {
		a := m.fail(status, message)
		return nil, &a
	}
	if !x.isJSON() {
		return refuse(http.StatusBadRequest, "content type must be application/json")
	}
	var body map[string]any
	if err := decodeJSON(x.body, &body); err != nil || body == nil {
		return refuse(http.StatusBadRequest, "the body is not a JSON object")
	}
	keys := slices.Sorted(maps.Keys(body)) // so that the same body gets the same answer
	for _, key := range keys {
		field, known := m.fields[key]
		if !known {
			continue
		}
		if message := field.check(key, body[key]); message != "" {
			return refuse(http.StatusUnprocessableEntity, message)
		}
	}
	role := roleNow
	if sent, ok := body["role"].(string); ok {
		role = sent
	}
	for _, key := range keys {
		field, known := m.fields[key]
		if !known || (field.driver && role != "driver") || (field.fleet && role != "fleet_user") {
			delete(body, key)
			x.ignore(key)
		}
	}
	return body, nil
}

func (m *motive) update(x *exchange) answer {
	u := x.user
	if u == nil {
		return m.fail(http.StatusNotFound, "user not found")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	body, refusal := m.read(x, text(u.fields, "role"))
	if refusal != nil {
		return *refusal
	}
	next := maps.Clone(u.fields)
	if message := m.apply(next, body); message != "" {
		return m.fail(http.StatusUnprocessableEntity, message)
	}
	if conflict := x.account.claim(u, motiveClaims(next)); conflict != "" {
		return m.fail(http.StatusUnprocessableEntity, conflict+" has already been taken")
	}
	u.fields = next
	u.applied++
	x.applied = u.applied
	return m.one(http.StatusOK, next)
}

func (m *motive) create(x *exchange) answer {
	body, refusal := m.read(x, "")
	if refusal != nil {
		return *refusal
	}
	for _, key := range []string{"first_name", "last_name", "role"} {
		if text(body, key) == "" {
			return m.fail(http.StatusUnprocessableEntity, key+" can't be blank")
		}
	}
	if text(body, "email") == "" && (text(body, "username") == "" || text(body, "password") == "") {
		return m.fail(http.StatusUnprocessableEntity, "email can't be blank")
	}
	fields := map[string]any{
		"email": nil, "phone": nil, "phone_country_code": nil, "phone_ext": nil, "company_reference_id": nil,
		"time_zone": "Pacific Time (US & Canada)", "metric_units": false, "status": "active",
		"group_ids": []any{}, "external_ids": []any{},
		"created_at": m.now().UTC().Format(time.RFC3339),
	}
	if message := m.apply(fields, body); message != "" {
		return m.fail(http.StatusUnprocessableEntity, message)
	}
	u := &user{fields: fields, applied: 1}
	u.mu.Lock()
	defer u.mu.Unlock()
	conflict := x.account.add(u, motiveClaims(fields), func(n int) string {
		id := fmt.Sprintf("%d", 7_000_000+n)
		fields["id"] = json.Number(id)
		return id
	})
	if conflict != "" {
		return m.fail(http.StatusUnprocessableEntity, conflict+" has already been taken")
	}
	x.applied = 1
	return m.one(http.StatusCreated, fields)
}

// apply writes the body's keys and gives what does not fit together, or "".
func (m *motive) apply(fields, body map[string]any) string {
	for key, v := range body {
		switch key {
		case "password": // never stored
		case "external_ids_attributes":
			ids, message := externalIDs(fields["external_ids"], v.([]any))
			if message != "" {
				return message
			}
			fields["external_ids"] = ids
		default:
			fields[key] = v
		}
	}
	m.fitRole(fields)
	fields["updated_at"] = m.now().UTC().Format(time.RFC3339)
	return motiveRules(fields, body)
}

// fitRole gives a driver the driver block and takes it from anybody else.
func (m *motive) fitRole(fields map[string]any) {
	driver := fields["role"] == "driver"
	for key, v := range m.block {
		if _, has := fields[key]; driver && !has {
			fields[key] = v
		} else if !driver {
			delete(fields, key)
		}
	}
	for key := range fields {
		if m.fields[key].driver && !driver || m.fields[key].fleet && fields["role"] != "fleet_user" {
			delete(fields, key)
		}
	}
}

func motiveRules(fields, body map[string]any) string {
	for _, key := range []string{"first_name", "last_name"} {
		if text(fields, key) == "" {
			return key + " can't be blank"
		}
	}
	if email := text(fields, "email"); email != "" && !strings.Contains(strings.Trim(email, "@"), "@") {
		return "email is invalid"
	}
	if text(fields, "email") == "" && text(fields, "username") == "" {
		return "email can't be blank"
	}
	if fields["role"] != "driver" {
		return ""
	}
	if state := text(fields, "drivers_license_state"); state != "" && !isLicenseRegion(state) {
		return "drivers_license_state is invalid"
	}
	if !trackingFits(text(fields, "time_tracking_mode"), text(fields, "eld_mode")) {
		return "time_tracking_mode does not fit eld_mode"
	}
	// An old exception stays on when the cycle changes; a sent one must fit.
	cycle := text(fields, "cycle")
	for _, key := range motiveExceptions[:5] {
		if body[key] == true && !slices.Contains(motiveAllows(cycle), key) {
			return key + " is not allowed for the cycle"
		}
	}
	return ""
}

func trackingFits(tracking, eld string) bool {
	switch tracking {
	case "logs":
		return eld == "logs" || eld == "none"
	case "timecards", "not_required":
		return eld == "exempt"
	}
	return false
}

// externalIDs adds new pairs and changes those that are named by id.
func externalIDs(now any, sent []any) (ids []any, wrong string) {
	ids, _ = now.([]any)
	ids = slices.Clone(ids)
	for _, item := range sent {
		attributes, _ := item.(map[string]any)
		id, integration := text(attributes, "external_id"), text(attributes, "integration_name")
		if id == "" || integration == "" {
			return nil, "external_ids external_id and integration_name can't be blank"
		}
		number, named := attributes["id"].(json.Number)
		if !named {
			number = json.Number(fmt.Sprintf("%d", 9_000_000+len(ids)))
		}
		entry := map[string]any{"id": number, "external_id": id, "integration_name": integration}
		at := slices.IndexFunc(ids, func(e any) bool { return e.(map[string]any)["id"] == number })
		same := slices.IndexFunc(ids, func(e any) bool {
			old := e.(map[string]any)
			return old["external_id"] == id && old["integration_name"] == integration
		})
		switch {
		case named && at < 0:
			return nil, "external_ids id was not found"
		case same >= 0 && same != at:
			return nil, "external_ids external_id has already been taken"
		case named:
			ids[at] = entry
		default:
			ids = append(ids, entry)
		}
	}
	return ids, ""
}
