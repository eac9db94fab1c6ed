package webfleet

import (
	"errors"
	"maps"
	"strings"

	"golang.org/x/text/language"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Parameters that more than one rule speaks about.
const (
	keyName    = "name1"
	keySecond  = "name2"
	keyNumber  = "driverno"
	keyPhone   = "telmobile"
	keyEmail   = "email"
	keyNotes   = "description"
	keyCountry = "country"
)

const noActive = "the provider cannot deactivate a driver, only delete it"

const driversOnly = "the provider has drivers only"

// table is the field table. An empty parameter clears.
func table() tsp.Table {
	return tsp.Table{
		{Field: operation.FieldUsername},
		{Field: operation.FieldIsActive, Note: noActive},
		{Field: operation.FieldStatus, Note: noActive},
		{Field: operation.FieldIsDriver, Note: driversOnly, Convert: tsp.OnlyTrue(driversOnly)},
		{Field: operation.FieldUserDesignation},
		{Field: operation.FieldUserEmail, Target: keyEmail, Clear: tsp.ClearEmpty},
		{Field: operation.FieldFirstName, Target: keyName, Joint: true, Note: "One name with last_name, or name1 where the tenant writes two."},
		{Field: operation.FieldLastName, Target: keyName, Joint: true, Note: "One name with first_name, or name2 where the tenant writes two."},
		{Field: operation.FieldPhoneNumber, Target: keyPhone, Clear: tsp.ClearEmpty, Joint: true, Convert: tsp.NationalPhone,
			Note: "Written with a plus and the country code, which must be given."},
		{Field: operation.FieldCountryCode, Target: keyCountry, Clear: tsp.ClearEmpty, Convert: alpha2},
		{Field: operation.FieldLicenseCountry},
		{Field: operation.FieldLicenseRegion},
		{Field: operation.FieldLicenseNumber},
		{Field: operation.FieldLicenseExpiration},
		{Field: operation.FieldEmployeeNumber, Target: keyNumber, Joint: true, Convert: tsp.Filled("must not be empty"),
			Note: "The driver number, a key there: changed only with the setting driver_number."},
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

// alpha2 needs the standard's table of countries, which x/text keeps, with those that were
// withdrawn.
func alpha2(v operation.Value) (any, error) {
	region, err := language.ParseRegion(v.Text())
	if err != nil || !region.IsCountry() || region.Canonicalize() != region || region.ISO3() != strings.ToUpper(v.Text()) {
		return nil, errors.New("is no country of ISO 3166-1 alpha-3")
	}
	return region.String(), nil
}

// alpha3 is the contract's code of a country; false: it has none.
func alpha3(code string) (operation.Value, bool) {
	if code == "" {
		return operation.Null(), true
	}
	region, err := language.ParseRegion(code)
	if err != nil || !region.IsCountry() || !strings.EqualFold(region.String(), code) {
		return operation.Null(), false
	}
	return operation.Text(region.ISO3()), true
}

// write is the parameters of a call in the making.
type write struct {
	changes  operation.Changes
	settings map[string]string
	refused  *tsp.Refusals
	params   map[string]string
}

func newWrite(settings map[string]string, changes operation.Changes) *write {
	if n, ok := changes.Get(operation.FieldPhoneNumber); ok && n.IsNull() && changes[operation.FieldPhoneCountryCode].IsNull() {
		// Number and country code are one text there, which is cleared as a whole.
		changes = maps.Clone(changes)
		delete(changes, operation.FieldPhoneCountryCode)
	}
	w := &write{changes: changes, settings: settings, refused: tsp.NewRefusals(Name), params: map[string]string{}}
	for name, v := range table().Apply(changes, w.refused) {
		w.params[name], _ = v.(string)
	}
	w.phone()
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
	case v.IsNull() && hasCode && !code.IsNull():
		w.refused.Add(operation.FieldPhoneCountryCode, "there is no number to hold it: phone_number is cleared")
	case v.IsNull():
		w.params[keyPhone] = ""
	default:
		number, err := tsp.PlusPhone(v.Text(), code.Text())
		if err != nil {
			w.refused.Add(operation.FieldPhoneNumber, "%s", err)
			return
		}
		w.params[keyPhone] = number
	}
}

// checkNumber refuses a new driver number unless it is switched on.
func (w *write) checkNumber() {
	if v, ok := w.changes.Get(operation.FieldEmployeeNumber); ok && !v.IsNull() && w.settings["driver_number"] != "true" {
		w.refused.Add(operation.FieldEmployeeNumber, "it is the driver number, a key at the provider; the connection's setting driver_number allows to change it")
	}
}

func (w *write) named() bool {
	return w.changes.Has(operation.FieldFirstName) || w.changes.Has(operation.FieldLastName)
}

// needsRead reports whether the present driver must be known: to complete the
// write, or, where nothing is left to write, to find out that it is there.
func (w *write) needsRead() bool {
	return w.named() || w.changes.Has(operation.FieldEmployeeNumber) || len(w.params) == 0
}

// complete adds what depends on the driver as it is.
func (w *write) complete(row driver) {
	if number := w.text(operation.FieldEmployeeNumber); number != "" && number != row.text(keyNumber) {
		w.params[keyNumber], w.params["driverno_old"] = number, row.text(keyNumber)
	}
	if !w.named() {
		return
	}
	first, last := namesOf(row, w.settings)
	if w.changes.Has(operation.FieldFirstName) {
		first = w.text(operation.FieldFirstName)
	}
	if w.changes.Has(operation.FieldLastName) {
		last = w.text(operation.FieldLastName)
	}
	key := keyName
	if _, shown := row[keyName]; !shown {
		key = "name" // as older guides have it
	}
	w.name(key, first, last, twoNames(row, w.settings))
}

func (w *write) name(key, first, last string, two bool) {
	first, last = strings.TrimSpace(first), strings.TrimSpace(last)
	whole := strings.TrimSpace(first + " " + last)
	if whole == "" || two && first == "" {
		for _, f := range []operation.Field{operation.FieldFirstName, operation.FieldLastName} {
			if w.changes.Has(f) {
				w.refused.Add(f, "the name would be empty")
			}
		}
		return
	}
	if two {
		w.params[key], w.params[keySecond] = first, last
		return
	}
	w.params[key] = whole
}

// twoNames reports the tenant's habit: name2 has the last name.
func twoNames(row driver, settings map[string]string) bool {
	return settings["split_name"] == "true" || row.text(keySecond) != ""
}

// nameOf is the first name parameter, by either of its two names.
func nameOf(row driver) string {
	if name := row.text(keyName); name != "" {
		return name
	}
	return row.text("name")
}

// namesOf takes the name apart: the last word of one name is the last name.
func namesOf(row driver, settings map[string]string) (first, last string) {
	name := strings.TrimSpace(nameOf(row))
	if twoNames(row, settings) {
		return name, strings.TrimSpace(row.text(keySecond))
	}
	i := strings.LastIndexByte(name, ' ')
	if i < 0 {
		return "", name
	}
	return strings.TrimSpace(name[:i]), name[i+1:]
}
