package verizonconnect

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// CreateUser makes a driver and reads it. With Repeat the number is read first: a
// driver that has it and everything else of the create is the earlier attempt's; any
// other is a refusal. Every error is an *operation.Failure, or in a dry run
// httpcall.ErrDraft.
func (p *Provider) CreateUser(ctx context.Context, conn tsp.Connection, u tsp.UserCreate) (tsp.Created, error) {
	changes := maps.Clone(u.Changes)
	maps.DeleteFunc(changes, func(_ operation.Field, v operation.Value) bool { return v.IsNull() })
	c, failure := p.client(conn, changes)
	if failure != nil {
		return tsp.Created{}, failure
	}
	number := changes[operation.FieldEmployeeNumber].Text()
	blank, failure := newDriver(changes, number)
	if failure != nil {
		return tsp.Created{}, failure
	}
	if u.Repeat {
		held, answer, err := c.driver(ctx, "verizon_connect: find driver", number)
		switch {
		case answer.Status == http.StatusNotFound:
		case err != nil:
			return tsp.Created{}, err
		case len(missed(changes, held)) > 0:
			return tsp.Created{}, refuseAfter(answer, "verizon_connect: create driver: the provider has another driver with this employee_number")
		default:
			return tsp.Created{Result: resultOf(answer), SourceID: number}, nil
		}
	}
	if err := c.post(ctx, blank); err != nil {
		return tsp.Created{}, err
	}
	after, answer, err := c.driver(ctx, "verizon_connect: read driver after the create", number)
	if err != nil {
		return tsp.Created{}, err
	}
	if missed := missed(changes, after); len(missed) > 0 {
		return tsp.Created{}, refuseAfter(answer, "verizon_connect: create driver: the driver was created, but the provider did not apply %s",
			strings.Join(missed, ", "))
	}
	return tsp.Created{Result: resultOf(answer), SourceID: number}, nil
}

// newDriver is the body of a create, or every reason why there cannot be one.
func newDriver(changes operation.Changes, number string) (driver, *operation.Failure) {
	refused := tsp.NewRefusals(Name)
	others := maps.Clone(changes)
	delete(others, operation.FieldEmployeeNumber)
	patch := table().Apply(others, refused)
	if strings.TrimSpace(number) == "" {
		refused.Add(operation.FieldEmployeeNumber, "is needed to create a driver")
	} else if _, failure := driverPath(number); failure != nil {
		refused.Add(operation.FieldEmployeeNumber, "no call could name the driver by it")
	}
	for _, f := range []operation.Field{operation.FieldFirstName, operation.FieldLastName} {
		if !changes.Has(f) {
			refused.Add(f, "is needed to create a driver")
		}
	}
	if failure := refused.Failure(); failure != nil {
		return nil, failure
	}
	patch[keyNumber] = number
	return driver{}.with(patch), nil
}

// ReadUser gives what Verizon Connect shows of the driver. Every error is an
// *operation.Failure.
func (p *Provider) ReadUser(ctx context.Context, conn tsp.Connection, sourceID string) (operation.Changes, error) {
	c, failure := p.client(conn, nil)
	if failure != nil {
		return nil, failure
	}
	d, _, err := c.driver(ctx, "verizon_connect: read driver", sourceID)
	if err != nil {
		return nil, err
	}
	return d.fields(), nil
}

// ListUsers gives all drivers that are not deleted: no pages are known. Left out is whom
// the customer gave no number: no call can name it. Every error is an *operation.Failure.
func (p *Provider) ListUsers(ctx context.Context, conn tsp.Connection, cursor string) (tsp.UserPage, error) {
	const what = "verizon_connect: list drivers"
	if cursor != "" {
		return tsp.UserPage{}, operation.Refuse("%s: the cursor is none of this provider's", what)
	}
	c, failure := p.client(conn, nil)
	if failure != nil {
		return tsp.UserPage{}, failure
	}
	answer, err := c.do(ctx, httpcall.Request{What: what, Method: http.MethodGet, URL: driversPath, Whole: true})
	if err != nil {
		return tsp.UserPage{}, err
	}
	page := tsp.UserPage{Result: resultOf(answer)}
	_, ok := httpcall.Rows(answer.Body, func(row json.RawMessage) bool {
		d, numbered := decodeDriver(row)
		if numbered {
			page.Users = append(page.Users, tsp.ListedUser{SourceID: d.text(keyNumber), Fields: d.fields()})
		}
		return numbered || d.unnumbered()
	})
	if !ok {
		return tsp.UserPage{}, answer.Garbled(what)
	}
	return page, nil
}
