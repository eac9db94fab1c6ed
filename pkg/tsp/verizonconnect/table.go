package verizonconnect

import (
	"encoding/json"
	"errors"
	"maps"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Keys of a driver.
const (
	keyNumber = "DriverNumber"
	keyFirst  = "FirstName"
	keyLast   = "LastName"
	keyEmail  = "EmailAddress"
	keyPhone  = "PhoneNumber"
)

const driversOnly = "only drivers are written at this provider"

var filled = tsp.Filled("must not be empty: it is not published what an empty value does")

// table is the field table. It is not published what a null or an empty text does.
func table() tsp.Table {
	const (
		noActive = "the provider shows active drivers only, and has no flag for it"
		noHOS    = "the provider's values of the logbook settings are not published"
	)
	return tsp.Table{
		{Field: operation.FieldUsername},
		{Field: operation.FieldIsActive, Note: noActive},
		{Field: operation.FieldStatus, Note: noActive},
		{Field: operation.FieldIsDriver, Note: driversOnly, Convert: tsp.OnlyTrue(driversOnly)},
		{Field: operation.FieldUserDesignation},
		{Field: operation.FieldUserEmail, Target: keyEmail, Convert: filled},
		{Field: operation.FieldFirstName, Target: keyFirst, Convert: filled},
		{Field: operation.FieldLastName, Target: keyLast, Convert: filled},
		{Field: operation.FieldPhoneNumber, Target: keyPhone, Convert: filled},
		{Field: operation.FieldCountryCode},
		{Field: operation.FieldLicenseCountry},
		{Field: operation.FieldLicenseRegion},
		{Field: operation.FieldLicenseNumber},
		{Field: operation.FieldLicenseExpiration},
		{Field: operation.FieldEmployeeNumber, Note: "it is the driver number, the provider's id: given once, when a driver is created",
			Convert: refuseNumber},
		{Field: operation.FieldCarrierNumber},
		{Field: operation.FieldNotes},
		{Field: operation.FieldHOSRulesetCode, Note: noHOS},
		{Field: operation.FieldAllowYardMove},
		{Field: operation.FieldAllowPersonalConveyance},
		{Field: operation.FieldAllowAdverseDriving},
		{Field: operation.FieldDefaultTimeZone},
		{Field: operation.FieldDOTID},
		{Field: operation.FieldPhoneCountryCode, Note: "it is not published that a number may have one; give it in phone_number"},
		{Field: operation.FieldHOSComplianceType, Note: noHOS},
		{Field: operation.FieldHOSTrackingMethod, Note: noHOS},
	}
}

func refuseNumber(operation.Value) (any, error) {
	return nil, errors.New("it is the driver number, the provider's id, which an update does not change")
}

// driver is as read, so that unknown keys and long numbers go back exactly as they
// came.
type driver map[string]json.RawMessage

// decodeDriver takes a driver as lists have it, and as a create sends it.
func decodeDriver(body []byte) (driver, bool) {
	var d driver
	if json.Unmarshal(body, &d) != nil {
		return nil, false
	}
	if inner, wrapped := d["Driver"]; wrapped {
		d = nil
		if json.Unmarshal(inner, &d) != nil {
			return nil, false
		}
	}
	return d, d.text(keyNumber) != ""
}

// unnumbered reports a driver to whom the customer gave no number.
func (d driver) unnumbered() bool {
	number := string(d[keyNumber])
	return number == "null" || number == `""`
}

// text is the string at a key, or "" for anything else.
func (d driver) text(key string) string {
	var s string
	if json.Unmarshal(d[key], &s) != nil {
		return ""
	}
	return s
}

// with gives a copy with the keys of the patch.
func (d driver) with(patch map[string]any) driver {
	out := maps.Clone(d)
	for key, v := range patch {
		if raw, err := encode(v); err == nil { // texts always have JSON
			out[key] = raw
		}
	}
	return out
}

// fields are what the driver says in unified fields. What is not shown is left out.
func (d driver) fields() operation.Changes {
	out := operation.Changes{operation.FieldIsDriver: operation.Flag(true)}
	for f, key := range map[operation.Field]string{
		operation.FieldEmployeeNumber: keyNumber, operation.FieldFirstName: keyFirst, operation.FieldLastName: keyLast,
		operation.FieldUserEmail: keyEmail, operation.FieldPhoneNumber: keyPhone,
	} {
		if _, shown := d[key]; !shown {
			continue
		}
		out[f] = operation.Null()
		if s := d.text(key); s != "" {
			out[f] = operation.Text(s)
		}
	}
	return out
}
