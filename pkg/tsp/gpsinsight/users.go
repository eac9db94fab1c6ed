package gpsinsight

import (
	"context"
	"errors"
	"maps"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Parameters of a driver.
const (
	keyFirst = "firstname"
	keyLast  = "lastname"
	keyEmail = "email"
	keyPhone = "phone"
)

const driversOnly = "only drivers are written at this provider"

var filled = tsp.Filled("must not be empty: it is not published what an empty value does")

// table is the field table. Nothing can be cleared for certain.
func table() tsp.Table {
	const noActive = "the provider has no active flag"
	return tsp.Table{
		{Field: operation.FieldUsername},
		{Field: operation.FieldIsActive, Note: noActive},
		{Field: operation.FieldStatus, Note: noActive},
		{Field: operation.FieldIsDriver, Note: driversOnly, Convert: tsp.OnlyTrue(driversOnly)},
		{Field: operation.FieldUserDesignation},
		{Field: operation.FieldUserEmail, Target: keyEmail, Convert: filled},
		{Field: operation.FieldFirstName, Target: keyFirst, Convert: filled},
		{Field: operation.FieldLastName, Target: keyLast, Convert: filled},
		{Field: operation.FieldPhoneNumber, Target: keyPhone, Joint: true, Convert: phoneDigits, Note: "Digits only, without the code +1."},
		{Field: operation.FieldCountryCode},
		{Field: operation.FieldLicenseCountry},
		{Field: operation.FieldLicenseRegion},
		{Field: operation.FieldLicenseNumber},
		{Field: operation.FieldLicenseExpiration},
		{Field: operation.FieldEmployeeNumber},
		{Field: operation.FieldCarrierNumber},
		{Field: operation.FieldNotes},
		{Field: operation.FieldHOSRulesetCode},
		{Field: operation.FieldAllowYardMove},
		{Field: operation.FieldAllowPersonalConveyance},
		{Field: operation.FieldAllowAdverseDriving},
		{Field: operation.FieldDefaultTimeZone, Note: "it is not published how the provider writes a time zone"},
		{Field: operation.FieldDOTID},
		{Field: operation.FieldPhoneCountryCode, Target: keyPhone, Joint: true, Convert: tsp.DialDigits, Note: "Only together with phone_number."},
		{Field: operation.FieldHOSComplianceType},
		{Field: operation.FieldHOSTrackingMethod},
	}
}

func phoneDigits(v operation.Value) (any, error) {
	rest := strings.TrimPrefix(strings.TrimSpace(v.Text()), "+")
	if tsp.Digits(rest) == "" || strings.ContainsFunc(rest, notPhone) {
		return nil, errors.New("must be digits with the usual separators")
	}
	return wirePhone(v.Text(), ""), nil
}

// wirePhone is digits with the country code in front, but for +1, which the
// provider's own numbers do not have.
func wirePhone(number, code string) string {
	d, dial := tsp.Digits(number), tsp.Digits(code)
	if !strings.HasPrefix(strings.TrimSpace(number), "+") && dial != "1" {
		d = dial + tsp.AfterCode(d, dial)
	}
	if len(d) == 11 && d[0] == '1' {
		return d[1:]
	}
	return d
}

func notPhone(r rune) bool { return !strings.ContainsRune("0123456789 -.()/\u00a0", r) }

// parameters are what the changes become, as far as nothing is refused.
func parameters(changes operation.Changes, refused *tsp.Refusals) map[string]string {
	params := map[string]string{}
	for name, v := range table().Apply(changes, refused) {
		params[name], _ = v.(string)
	}
	number, hasNumber := changes.Get(operation.FieldPhoneNumber)
	code, hasCode := changes.Get(operation.FieldPhoneCountryCode)
	switch {
	case hasCode && !code.IsNull() && !hasNumber:
		refused.Add(operation.FieldPhoneCountryCode, "can be written only together with phone_number")
	case hasCode && strings.HasPrefix(strings.TrimSpace(number.Text()), "+") && !strings.HasPrefix(tsp.Digits(number.Text()), tsp.Digits(code.Text())):
		refused.Add(operation.FieldPhoneNumber, "does not begin with the phone_country_code given with it")
	case hasNumber:
		params[keyPhone] = wirePhone(number.Text(), code.Text())
	}
	return params
}

// CreateUser makes a driver. With Repeat it looks for one with exactly the same
// values, which is then taken to be the earlier attempt's. Every error is an
// *operation.Failure, or in a dry run httpcall.ErrDraft.
func (p *Provider) CreateUser(ctx context.Context, conn tsp.Connection, u tsp.UserCreate) (tsp.Created, error) {
	changes := maps.Clone(u.Changes)
	maps.DeleteFunc(changes, func(_ operation.Field, v operation.Value) bool { return v.IsNull() })
	c, failure := p.client(conn, changes)
	if failure != nil {
		return tsp.Created{}, failure
	}
	refused := tsp.NewRefusals(Name)
	params := parameters(changes, refused)
	for _, f := range []operation.Field{operation.FieldFirstName, operation.FieldLastName} {
		if !changes.Has(f) {
			refused.Add(f, "is needed to create a driver")
		}
	}
	if failure := refused.Failure(); failure != nil {
		return tsp.Created{}, failure
	}
	if u.Repeat {
		rows, answer, err := c.drivers(ctx, "gpsinsight: find driver")
		if err != nil {
			return tsp.Created{}, err
		}
		for _, row := range rows {
			if row.is(params) {
				return tsp.Created{Result: resultOf(answer), SourceID: string(row.ID)}, nil
			}
		}
	}
	id, answer, err := c.createDriver(ctx, withTag(params, u.OperationID))
	if err != nil {
		return tsp.Created{}, err
	}
	return tsp.Created{Result: resultOf(answer), SourceID: id}, nil
}

// is reports whether the driver has these values and no others.
func (d driver) is(params map[string]string) bool {
	return text(d.FirstName) == params[keyFirst] && text(d.LastName) == params[keyLast] &&
		strings.EqualFold(text(d.Email), params[keyEmail]) && tsp.Digits(text(d.Phone)) == params[keyPhone]
}

// ReadUser gives what GPS Insight shows of the driver, out of the list of all. Every
// error is an *operation.Failure.
func (p *Provider) ReadUser(ctx context.Context, conn tsp.Connection, sourceID string) (operation.Changes, error) {
	c, failure := p.client(conn, nil)
	if failure != nil {
		return nil, failure
	}
	row, _, err := c.driver(ctx, sourceID)
	if err != nil {
		return nil, err
	}
	return row.fields(), nil
}

// ListUsers gives all drivers at once: there are no pages. Every error is an
// *operation.Failure.
func (p *Provider) ListUsers(ctx context.Context, conn tsp.Connection, cursor string) (tsp.UserPage, error) {
	const what = "gpsinsight: list drivers"
	if cursor != "" {
		return tsp.UserPage{}, operation.Refuse("%s: the cursor is none of this provider's", what)
	}
	c, failure := p.client(conn, nil)
	if failure != nil {
		return tsp.UserPage{}, failure
	}
	rows, answer, err := c.drivers(ctx, what)
	if err != nil {
		return tsp.UserPage{}, err
	}
	page := tsp.UserPage{Result: resultOf(answer), Users: make([]tsp.ListedUser, len(rows))}
	for i, row := range rows {
		page.Users[i] = tsp.ListedUser{SourceID: string(row.ID), Fields: row.fields()}
	}
	return page, nil
}

// fields are what the driver says in unified fields. A number of ten digits is one
// without a country code; of any other it cannot be told.
func (d driver) fields() operation.Changes {
	out := operation.Changes{operation.FieldIsDriver: operation.Flag(true)}
	for f, v := range map[operation.Field]*string{
		operation.FieldFirstName: d.FirstName, operation.FieldLastName: d.LastName, operation.FieldUserEmail: d.Email,
	} {
		if v != nil {
			out[f] = orNull(*v)
		}
	}
	if n := tsp.Digits(text(d.Phone)); d.Phone != nil && (n == "" || len(n) == 10) {
		out[operation.FieldPhoneNumber] = orNull(n)
	}
	return out
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orNull(s string) operation.Value {
	if s == "" {
		return operation.Null()
	}
	return operation.Text(s)
}
