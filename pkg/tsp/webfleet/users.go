package webfleet

import (
	"context"
	"errors"
	"maps"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// CreateUser inserts a driver and looks up the uid that it got. With Repeat the
// driver number is looked up first: a driver that has it and everything else of the
// create is the earlier attempt's; any other is a refusal. Every error is an
// *operation.Failure, or in a dry run httpcall.ErrDraft.
func (p *Provider) CreateUser(ctx context.Context, conn tsp.Connection, u tsp.UserCreate) (tsp.Created, error) {
	changes := forNew(u.Changes)
	c, failure := p.client(conn, changes)
	if failure != nil {
		return tsp.Created{}, failure
	}
	w := newWrite(conn.Settings, changes)
	w.settleNew()
	if failure := w.refused.Failure(); failure != nil {
		return tsp.Created{}, failure
	}
	number := w.params[keyNumber]
	if u.Repeat {
		row, answer, err := c.numbered(ctx, number)
		if err != nil {
			return tsp.Created{}, err
		}
		if row != nil {
			return w.found(row, answer)
		}
	}
	if _, err := c.change(ctx, "webfleet: insert driver", "insertDriverExtern", w.params); err != nil {
		return tsp.Created{}, err
	}
	row, answer, err := c.numbered(ctx, number)
	switch {
	case err != nil:
		return tsp.Created{}, afterInsert(err)
	case row == nil:
		return tsp.Created{}, answer.Garbled("webfleet: insert driver: the driver is not in the list yet")
	}
	return tsp.Created{Result: resultOf(answer), SourceID: row.text("driveruid")}, nil
}

// numbered finds the driver with a number; nil: there is none.
func (c client) numbered(ctx context.Context, number string) (driver, httpcall.Answer, error) {
	const what = "webfleet: find driver"
	rows, answer, err := c.show(ctx, what, map[string]string{keyNumber: number})
	for _, row := range rows {
		switch {
		case row.text(keyNumber) != number:
		case !tsp.IsSourceID(row.text("driveruid")):
			return nil, answer, answer.Garbled(what)
		default:
			return row, answer, nil
		}
	}
	return nil, answer, err
}

func afterInsert(err error) error {
	var f *operation.Failure
	if !errors.As(err, &f) {
		return err
	}
	out := *f
	out.Detail = "the driver was inserted, its id is not known yet: " + f.Detail
	return &out
}

// forNew are the changes that a new driver needs: a null has nothing to clear there.
func forNew(changes operation.Changes) operation.Changes {
	out := maps.Clone(changes)
	maps.DeleteFunc(out, func(_ operation.Field, v operation.Value) bool { return v.IsNull() })
	return out
}

// settleNew applies the rules of a driver that is not there yet.
func (w *write) settleNew() {
	for _, f := range []operation.Field{operation.FieldEmployeeNumber, operation.FieldFirstName, operation.FieldLastName} {
		if strings.TrimSpace(w.text(f)) == "" && (!w.changes.Has(f) || f != operation.FieldEmployeeNumber) {
			w.refused.Add(f, "is needed to create a driver")
		}
	}
	w.params[keyNumber] = w.text(operation.FieldEmployeeNumber)
	key := "name"
	if w.settings["name1"] == "true" {
		key = keyName
	}
	w.params[key] = strings.TrimSpace(w.text(operation.FieldFirstName) + " " + w.text(operation.FieldLastName))
	if w.settings["split_name"] == "true" {
		w.params[key], w.params[keySecond] = w.text(operation.FieldFirstName), w.text(operation.FieldLastName)
	}
}

// found takes the driver that a repeat found, or refuses it.
func (w *write) found(row driver, answer httpcall.Answer) (tsp.Created, error) {
	for name, want := range w.params {
		held := row.text(name)
		if name == "name" || name == keyName {
			held = nameOf(row)
		}
		if !strings.EqualFold(held, want) {
			f := operation.Refuse("webfleet: insert driver: the provider has another driver with this employee_number")
			f.StatusCode, f.Header = answer.Status, answer.Header
			return tsp.Created{}, f
		}
	}
	return tsp.Created{Result: resultOf(answer), SourceID: row.text("driveruid")}, nil
}

// ReadUser gives what Webfleet shows of the driver. One name of more than two words
// cannot be taken apart for certain and is left out. Every error is an
// *operation.Failure.
func (p *Provider) ReadUser(ctx context.Context, conn tsp.Connection, sourceID string) (operation.Changes, error) {
	c, failure := p.client(conn, nil)
	if failure != nil {
		return nil, failure
	}
	if sourceID == "" {
		return nil, operation.Refuse("webfleet: read driver: the driver has no id there")
	}
	row, _, err := c.driver(ctx, sourceID)
	if err != nil {
		return nil, err
	}
	fields := fieldsOf(row, conn.Settings)
	if len(strings.Fields(nameOf(row))) > 2 && !twoNames(row, conn.Settings) {
		delete(fields, operation.FieldFirstName)
		delete(fields, operation.FieldLastName)
	}
	return fields, nil
}

// ListUsers gives all drivers of the account: there are no pages. Every error is an
// *operation.Failure.
func (p *Provider) ListUsers(ctx context.Context, conn tsp.Connection, cursor string) (tsp.UserPage, error) {
	const what = "webfleet: list drivers"
	if cursor != "" {
		return tsp.UserPage{}, operation.Refuse("%s: the cursor is none of this provider's", what)
	}
	c, failure := p.client(conn, nil)
	if failure != nil {
		return tsp.UserPage{}, failure
	}
	rows, answer, err := c.show(ctx, what, nil)
	if err != nil {
		return tsp.UserPage{}, err
	}
	page := tsp.UserPage{Result: resultOf(answer), Users: make([]tsp.ListedUser, len(rows))}
	for i, row := range rows {
		page.Users[i] = tsp.ListedUser{SourceID: row.text("driveruid"), Fields: fieldsOf(row, conn.Settings)}
	}
	return page, nil
}

// fieldsOf are what the driver says in unified fields. What is not shown, or has no
// counterpart, is left out.
func fieldsOf(row driver, settings map[string]string) operation.Changes {
	out := operation.Changes{operation.FieldIsDriver: operation.Flag(true)}
	for f, key := range map[operation.Field]string{
		operation.FieldUserEmail: keyEmail, operation.FieldNotes: keyNotes, operation.FieldEmployeeNumber: keyNumber,
	} {
		if _, shown := row[key]; shown {
			out[f] = orNull(row.text(key))
		}
	}
	if first, last := namesOf(row, settings); first+last != "" {
		out[operation.FieldFirstName], out[operation.FieldLastName] = orNull(first), orNull(last)
	}
	if _, shown := row[keyPhone]; shown {
		text := strings.TrimSpace(row.text(keyPhone))
		if number, code, ok := tsp.SplitPhone(text); ok {
			out[operation.FieldPhoneNumber], out[operation.FieldPhoneCountryCode] = operation.Text(number), operation.Text(code)
		} else {
			out[operation.FieldPhoneNumber] = orNull(text)
		}
	}
	if _, shown := row[keyCountry]; shown {
		if country, ok := alpha3(row.text(keyCountry)); ok {
			out[operation.FieldCountryCode] = country
		}
	}
	return out
}

func orNull(s string) operation.Value {
	if s == "" {
		return operation.Null()
	}
	return operation.Text(s)
}
