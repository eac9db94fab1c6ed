package wialon

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// CreateUser makes a driver in the resource that the setting resource_id names. It
// reads the resource first: the code must be free, and with Repeat a driver that has
// it and everything else of the create is the earlier attempt's. Every error is an
// *operation.Failure, or in a dry run httpcall.ErrDraft.
func (p *Provider) CreateUser(ctx context.Context, conn tsp.Connection, u tsp.UserCreate) (tsp.Created, error) {
	changes := maps.Clone(u.Changes)
	maps.DeleteFunc(changes, func(_ operation.Field, v operation.Value) bool { return v.IsNull() })
	c, failure := p.client(conn, changes)
	if failure != nil {
		return tsp.Created{}, failure
	}
	w := newWrite(conn.Settings, changes)
	for _, f := range []operation.Field{operation.FieldEmployeeNumber, operation.FieldFirstName, operation.FieldLastName} {
		if strings.TrimSpace(w.text(f)) == "" {
			w.refused.Add(f, "is needed to create a driver")
		}
	}
	if failure := w.refused.Failure(); failure != nil {
		return tsp.Created{}, failure
	}
	into, failure := parseKey(conn.Settings["resource_id"] + ":1")
	if failure != nil {
		return tsp.Created{}, operation.Refuse("not sent to wialon: the connection's setting resource_id names no resource for new drivers")
	}
	into.driver = 0
	next := w.onto(driver{"ck": raw(0), "r": raw(1), "f": raw(0)})
	held, answer, err := c.resource(ctx, into.resource)
	if err != nil {
		return tsp.Created{}, err
	}
	if u.Repeat {
		for id := range held {
			if held.code(id) != w.text(operation.FieldEmployeeNumber) {
				continue
			}
			if d, _ := held.driver(id); len(w.missed(d)) == 0 {
				return tsp.Created{Result: resultOf(answer), SourceID: key{into.resource, id}.String()}, nil
			}
		}
	}
	w.checkCode(held, 0)
	if failure := w.refused.Failure(); failure != nil {
		failure.StatusCode, failure.Header = answer.Status, answer.Header
		return tsp.Created{}, failure
	}
	made, answer, err := c.write(ctx, "wialon: create driver", "create", into, next)
	if err != nil {
		return tsp.Created{}, err
	}
	if missed := w.missed(made.after); len(missed) > 0 {
		return tsp.Created{}, refuseAfter(answer, "wialon: create driver: the driver was created with the id %s, but the provider did not apply %s",
			key{into.resource, made.id}, strings.Join(missed, ", "))
	}
	return tsp.Created{Result: resultOf(answer), SourceID: key{into.resource, made.id}.String()}, nil
}

// ReadUser gives what Wialon shows of the driver. A name of more than two words
// cannot be taken apart for certain and is left out. Every error is an
// *operation.Failure.
func (p *Provider) ReadUser(ctx context.Context, conn tsp.Connection, sourceID string) (operation.Changes, error) {
	c, failure := p.client(conn, nil)
	if failure != nil {
		return nil, failure
	}
	k, failure := parseKey(sourceID)
	if failure != nil {
		return nil, failure
	}
	held, answer, err := c.resource(ctx, k.resource)
	if err != nil {
		return nil, err
	}
	d, ok := held.driver(k.driver)
	if !ok {
		return nil, refuseAfter(answer, "wialon: read driver: driver not found at the provider")
	}
	fields := fieldsOf(d, conn.Settings)
	if len(strings.Fields(d.text(keyName))) > 2 {
		delete(fields, operation.FieldFirstName)
		delete(fields, operation.FieldLastName)
	}
	return fields, nil
}

// ListUsers gives the drivers of all resources at once, in the order of their ids:
// there are no pages. Every error is an *operation.Failure.
func (p *Provider) ListUsers(ctx context.Context, conn tsp.Connection, cursor string) (tsp.UserPage, error) {
	if cursor != "" {
		return tsp.UserPage{}, operation.Refuse("wialon: list drivers: the cursor is none of this provider's")
	}
	c, failure := p.client(conn, nil)
	if failure != nil {
		return tsp.UserPage{}, failure
	}
	items, answer, err := c.resources(ctx)
	if err != nil {
		return tsp.UserPage{}, err
	}
	slices.SortFunc(items, func(a, b resource) int { return cmp.Compare(a.ID, b.ID) })
	page := tsp.UserPage{Result: resultOf(answer)}
	for _, item := range items {
		for _, id := range slices.Sorted(maps.Keys(item.Drivers)) {
			d, _ := item.Drivers.driver(id)
			page.Users = append(page.Users, tsp.ListedUser{SourceID: key{item.ID, id}.String(), Fields: fieldsOf(d, conn.Settings)})
		}
	}
	return page, nil
}

// fieldsOf are what the driver says in unified fields. What is not shown, or has no
// counterpart, is left out.
func fieldsOf(d driver, settings map[string]string) operation.Changes {
	out := operation.Changes{operation.FieldIsDriver: operation.Flag(true)}
	for f, key := range map[operation.Field]string{operation.FieldEmployeeNumber: keyCode, operation.FieldNotes: keyNotes} {
		if _, shown := d[key]; shown {
			out[f] = orNull(d.text(key))
		}
	}
	if first, last := splitName(d.text(keyName)); last != "" {
		out[operation.FieldFirstName], out[operation.FieldLastName] = orNull(first), operation.Text(last)
	}
	if _, shown := d[keyPhone]; shown {
		text := strings.TrimSpace(d.text(keyPhone))
		if number, code, ok := tsp.SplitPhone(text); ok {
			out[operation.FieldPhoneNumber], out[operation.FieldPhoneCountryCode] = operation.Text(number), operation.Text(code)
		} else {
			out[operation.FieldPhoneNumber] = orNull(text)
		}
	}
	custom := driver(d.custom())
	for f, setting := range customSettings {
		if name := settings[setting]; name != "" {
			out[f] = orNull(custom.text(name))
		}
	}
	if day := out[operation.FieldLicenseExpiration].Text(); day != "" {
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			delete(out, operation.FieldLicenseExpiration)
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
