package motive

import (
	"context"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// CreateUser makes a user, by default a driver. A driver without an e-mail address
// gets a password that nobody knows, to be set anew by the fleet. With Repeat the
// login is looked up first: a user that has it and everything else of the create is
// the earlier attempt's; any other is a refusal. Every error is an
// *operation.Failure.
func (p *Provider) CreateUser(ctx context.Context, conn tsp.Connection, u tsp.UserCreate) (tsp.Created, error) {
	changes := forNew(u.Changes)
	password := tsp.NewPassword()
	c, failure := p.client(conn, changes, password)
	if failure != nil {
		return tsp.Created{}, failure
	}
	plan := p.plan(conn.Settings, changes)
	plan.settleNew()
	if failure := plan.refused.Failure(); failure != nil {
		return tsp.Created{}, failure
	}
	if u.Repeat {
		key, login := plan.login()
		user, answer, err := c.lookUp(ctx, key, login)
		if err != nil || user != nil {
			return plan.found(user, answer, err)
		}
	}
	if key, _ := plan.login(); key == keyUsername {
		plan.body["password"] = password
	}
	user, answer, err := c.postUser(ctx, plan.body, password)
	if err != nil {
		return tsp.Created{}, err
	}
	if missed := plan.notApplied(user); len(missed) > 0 {
		return tsp.Created{}, refuseAfter(answer,
			"motive: create user: the user was created with the id %s, but the provider did not apply %s",
			idOf(user), strings.Join(missed, ", "))
	}
	return tsp.Created{Result: resultOf(answer), SourceID: idOf(user)}, nil
}

// forNew are the changes that a new user needs: a null has nothing to clear there.
func forNew(changes operation.Changes) operation.Changes {
	out := make(operation.Changes, len(changes)+1)
	for f, v := range changes {
		if !v.IsNull() {
			out[f] = v
		}
	}
	if !out.Has(operation.FieldIsDriver) {
		out[operation.FieldIsDriver] = operation.Flag(true)
	}
	return out
}

// settleNew applies the rules of a user that is not there yet.
func (p *plan) settleNew() {
	for _, f := range []operation.Field{operation.FieldFirstName, operation.FieldLastName} {
		if p.changes[f].Text() == "" {
			p.refused.Add(f, "is needed to create a user")
		}
	}
	if _, login := p.login(); login == "" {
		p.refused.Add(operation.FieldUserEmail, "is needed to create a user; a driver may have a username instead")
	}
	role, _ := p.body[keyRole].(string)
	p.checkRole(role)
	p.applyHOS(nil)
}

// login is the key and value by which the new user logs in; "" where it has none.
func (p *plan) login() (key, login string) {
	if email := p.changes[operation.FieldUserEmail].Text(); email != "" {
		return keyEmail, email
	}
	if p.body[keyRole] != roleDriver {
		return keyEmail, ""
	}
	return keyUsername, p.changes[operation.FieldUsername].Text()
}

// found takes the user that a repeat found, or refuses it.
func (p *plan) found(user map[string]any, answer httpcall.Answer, err error) (tsp.Created, error) {
	if err != nil {
		return tsp.Created{}, err
	}
	if missed := p.notApplied(user); len(missed) > 0 {
		return tsp.Created{}, refuseAfter(answer,
			"motive: create user: the provider has a user with this login, with another %s", strings.Join(missed, ", "))
	}
	return tsp.Created{Result: resultOf(answer), SourceID: idOf(user)}, nil
}
