package box

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"writeback/internal/sandbox"
)

// read takes the body of a write and drops the keys that Motive would not look
// at: unknown ones, and those of another role.
func (m *motive) read(x *sandbox.Exchange, roleNow string) (map[string]any, *sandbox.Answer) {
	refuse := func(status int, message string) (map[string]any, *sandbox.Answer) {
		a := m.fail(status, message)
		return nil, &a
	}
	if !x.IsJSON() {
		return refuse(http.StatusBadRequest, "content type must be application/json")
	}
	var body map[string]any
	if err := sandbox.DecodeJSON(x.Body, &body); err != nil || body == nil {
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
			x.Ignore(key)
		}
	}
	return body, nil
}

func (m *motive) update(x *sandbox.Exchange) sandbox.Answer {
	u := x.User
	if u == nil {
		return m.fail(http.StatusNotFound, "user not found")
	}
	u.Lock()
	defer u.Unlock()
	body, refusal := m.read(x, sandbox.Text(u.Fields, "role"))
	if refusal != nil {
		return *refusal
	}
	next := maps.Clone(u.Fields)
	if message := m.apply(next, body); message != "" {
		return m.fail(http.StatusUnprocessableEntity, message)
	}
	if conflict := x.Account.Claim(u, motiveClaims(next)); conflict != "" {
		return m.fail(http.StatusUnprocessableEntity, conflict+" has already been taken")
	}
	u.Fields = next
	u.Applied++
	x.Applied = u.Applied
	return m.one(http.StatusOK, next)
}

func (m *motive) create(x *sandbox.Exchange) sandbox.Answer {
	body, refusal := m.read(x, "")
	if refusal != nil {
		return *refusal
	}
	for _, key := range []string{"first_name", "last_name", "role"} {
		if sandbox.Text(body, key) == "" {
			return m.fail(http.StatusUnprocessableEntity, key+" can't be blank")
		}
	}
	if sandbox.Text(body, "email") == "" && (sandbox.Text(body, "username") == "" || sandbox.Text(body, "password") == "") {
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
	u := &sandbox.User{Fields: fields, Applied: 1}
	u.Lock()
	defer u.Unlock()
	conflict := x.Account.Add(u, motiveClaims(fields), func(n int) string {
		id := fmt.Sprintf("%d", 7_000_000+n)
		fields["id"] = json.Number(id)
		return id
	})
	if conflict != "" {
		return m.fail(http.StatusUnprocessableEntity, conflict+" has already been taken")
	}
	x.Applied = 1
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
		if sandbox.Text(fields, key) == "" {
			return key + " can't be blank"
		}
	}
	if email := sandbox.Text(fields, "email"); email != "" && !strings.Contains(strings.Trim(email, "@"), "@") {
		return "email is invalid"
	}
	if sandbox.Text(fields, "email") == "" && sandbox.Text(fields, "username") == "" {
		return "email can't be blank"
	}
	if fields["role"] != "driver" {
		return ""
	}
	if state := sandbox.Text(fields, "drivers_license_state"); state != "" && !sandbox.IsLicenseRegion(state) {
		return "drivers_license_state is invalid"
	}
	if !trackingFits(sandbox.Text(fields, "time_tracking_mode"), sandbox.Text(fields, "eld_mode")) {
		return "time_tracking_mode does not fit eld_mode"
	}
	// An old exception stays on when the cycle changes; a sent one must fit.
	cycle := sandbox.Text(fields, "cycle")
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
		id, integration := sandbox.Text(attributes, "external_id"), sandbox.Text(attributes, "integration_name")
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
