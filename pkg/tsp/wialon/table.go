package wialon

import (
	"encoding/json"
	"maps"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Keys of a driver that this adapter writes.
const (
	keyName   = "n"
	keyCode   = "c"
	keyPhone  = "p"
	keyNotes  = "ds"
	keyCustom = "jp"
	// keyPassword is of the mobile app, and written back only.
	keyPassword = "pwd"
)

// customSettings name the setting that holds the name of a field's custom field.
var customSettings = map[operation.Field]string{
	operation.FieldUserEmail:         "email_field",
	operation.FieldLicenseNumber:     "license_number_field",
	operation.FieldLicenseRegion:     "license_region_field",
	operation.FieldLicenseExpiration: "license_expiration_field",
}

const noActive = "the provider cannot deactivate a driver, only delete it"

const driversOnly = "the provider has drivers only"

// table is the field table under a connection's settings; nil: all are switched on.
func table(settings map[string]string) tsp.Table {
	custom := func(f operation.Field) tsp.Rule {
		name := customSettings[f]
		r := tsp.Rule{Field: f, Target: keyCustom, Clear: tsp.ClearEmpty, Joint: true, Note: "A custom field, which the setting " + name + " names."}
		if settings != nil && settings[name] == "" {
			r.Target, r.Note = "", "the connection's setting "+name+" names no custom field for it"
		}
		return r
	}
	return tsp.Table{
		{Field: operation.FieldUsername},
		{Field: operation.FieldIsActive, Note: noActive},
		{Field: operation.FieldStatus, Note: noActive},
		{Field: operation.FieldIsDriver, Note: driversOnly, Convert: tsp.OnlyTrue(driversOnly)},
		{Field: operation.FieldUserDesignation},
		custom(operation.FieldUserEmail),
		{Field: operation.FieldFirstName, Target: keyName, Joint: true, Note: "One name with last_name."},
		{Field: operation.FieldLastName, Target: keyName, Joint: true, Note: "One name with first_name."},
		{Field: operation.FieldPhoneNumber, Target: keyPhone, Clear: tsp.ClearEmpty, Joint: true, Convert: tsp.NationalPhone,
			Note: "Written with a plus and the country code, which must be given."},
		{Field: operation.FieldCountryCode},
		{Field: operation.FieldLicenseCountry},
		custom(operation.FieldLicenseRegion),
		custom(operation.FieldLicenseNumber),
		custom(operation.FieldLicenseExpiration),
		{Field: operation.FieldEmployeeNumber, Target: keyCode, Clear: tsp.ClearEmpty, Note: "The code, unique in the resource."},
		{Field: operation.FieldCarrierNumber},
		{Field: operation.FieldNotes, Target: keyNotes, Clear: tsp.ClearEmpty},
		{Field: operation.FieldHOSRulesetCode},
		{Field: operation.FieldAllowYardMove},
		{Field: operation.FieldAllowPersonalConveyance},
		{Field: operation.FieldAllowAdverseDriving},
		{Field: operation.FieldDefaultTimeZone},
		{Field: operation.FieldDOTID},
		{Field: operation.FieldPhoneCountryCode, Target: keyPhone, Joint: true, Convert: tsp.DialDigits, Note: "Only together with phone_number."},
		{Field: operation.FieldHOSComplianceType},
		{Field: operation.FieldHOSTrackingMethod},
	}
}

// write is what changes of a driver.
type write struct {
	changes  operation.Changes
	settings map[string]string
	table    tsp.Table
	refused  *tsp.Refusals
	patch    map[string]any
	// custom are the custom fields that change; "" removes one.
	custom map[string]string
}

func newWrite(settings map[string]string, changes operation.Changes) *write {
	if settings == nil {
		settings = map[string]string{}
	}
	if n, ok := changes.Get(operation.FieldPhoneNumber); ok && n.IsNull() && changes[operation.FieldPhoneCountryCode].IsNull() {
		// Number and country code are one text there, which is cleared as a whole.
		changes = maps.Clone(changes)
		delete(changes, operation.FieldPhoneCountryCode)
	}
	w := &write{changes: changes, settings: settings, table: table(settings), refused: tsp.NewRefusals(Name), custom: map[string]string{}}
	w.patch = w.table.Apply(changes, w.refused)
	w.phone()
	for f, setting := range customSettings {
		if name := settings[setting]; name != "" && changes.Has(f) {
			w.custom[name] = w.text(f)
		}
	}
	return w
}

func (w *write) text(f operation.Field) string { return w.changes[f].Text() }

func (w *write) phone() {
	v, hasNumber := w.changes.Get(operation.FieldPhoneNumber)
	code, hasCode := w.changes.Get(operation.FieldPhoneCountryCode)
	switch {
	case !hasNumber && hasCode && !code.IsNull():
		w.refused.Add(operation.FieldPhoneCountryCode, "can be written only together with phone_number")
	case !hasNumber:
	case v.IsNull() && hasCode:
		w.refused.Add(operation.FieldPhoneCountryCode, "there is no number to hold it: phone_number is cleared")
	case v.IsNull():
		w.patch[keyPhone] = ""
	default:
		number, err := tsp.PlusPhone(v.Text(), code.Text())
		if err != nil {
			w.refused.Add(operation.FieldPhoneNumber, "%s", err)
			return
		}
		w.patch[keyPhone] = number
	}
}

// state are keys that say where a driver is now; they are not written.
var state = []string{"bu", "pu", "bt", "bs", "pos"}

// required are keys that each write must have. A read may leave out an empty one.
var required = []string{keyName, keyCode, keyPhone, keyNotes, keyPassword}

// onto gives the whole driver with the changes.
func (w *write) onto(held driver) driver {
	w.name(held.text(keyName))
	next := maps.Clone(held)
	for _, key := range state {
		delete(next, key)
	}
	for _, key := range required {
		if _, shown := next[key]; !shown {
			next[key] = raw("")
		}
	}
	for key, v := range w.patch {
		next[key] = raw(v)
	}
	fields := held.custom()
	if fields == nil {
		fields = map[string]json.RawMessage{}
	}
	for name, v := range w.custom {
		if v == "" {
			delete(fields, name)
		} else {
			fields[name] = raw(v)
		}
	}
	next[keyCustom] = raw(fields)
	return next
}

// name writes first and last name as one.
func (w *write) name(present string) {
	if !w.changes.Has(operation.FieldFirstName) && !w.changes.Has(operation.FieldLastName) {
		return
	}
	first, last := splitName(present)
	if w.changes.Has(operation.FieldFirstName) {
		first = w.text(operation.FieldFirstName)
	}
	if w.changes.Has(operation.FieldLastName) {
		last = w.text(operation.FieldLastName)
	}
	name := strings.TrimSpace(strings.TrimSpace(first) + " " + strings.TrimSpace(last))
	w.patch[keyName] = name
	for _, f := range []operation.Field{operation.FieldFirstName, operation.FieldLastName} {
		if name == "" && w.changes.Has(f) {
			w.refused.Add(f, "the whole name would be empty")
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

// checkCode refuses a code that another driver of the resource has.
func (w *write) checkCode(held drivers, own int64) {
	code := w.text(operation.FieldEmployeeNumber)
	if code == "" {
		return
	}
	for id := range held {
		if id != own && held.code(id) == code {
			w.refused.Add(operation.FieldEmployeeNumber, "another driver of the resource has this code")
			return
		}
	}
}

// missed lists the fields of which the driver has another value than the one sent.
func (w *write) missed(after driver) []string {
	var fields []string
	for key, v := range w.patch {
		if _, shown := after[key]; shown && after.text(key) != v {
			fields = append(fields, w.fieldsAt(key)...)
		}
	}
	custom := after.custom()
	for name, want := range w.custom {
		var got string
		if json.Unmarshal(custom[name], &got) != nil {
			got = ""
		}
		if _, shown := after[keyCustom]; shown && got != want {
			for f, setting := range customSettings {
				if w.settings[setting] == name && w.changes.Has(f) {
					fields = append(fields, string(f))
				}
			}
		}
	}
	return fields
}

func (w *write) fieldsAt(key string) []string {
	var fields []string
	for _, f := range w.changes.Fields() {
		if w.table.Rule(f).Target == key {
			fields = append(fields, string(f))
		}
	}
	return fields
}

// raw is the JSON of what always has one, not escaped for HTML.
func raw(v any) json.RawMessage {
	s, err := encode(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return json.RawMessage(s)
}
