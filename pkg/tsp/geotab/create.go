package geotab

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Groups that every database has.
const (
	companyGroup = "GroupCompanyId"
	driverRights = "GroupDriveUserSecurityId"
	// noRights is for office users: what they may do is the fleet's to decide.
	noRights = "GroupNothingSecurityId"
)

// unknownID stands for the id of the new user in a dry run, which has none.
const unknownID = "*****"

// CreateUser adds a user, by default a driver, with a password that nobody knows
// and that must be changed, and then the ruleset. With Repeat the login name is
// looked up first: a user that has it and everything else of the create is the
// earlier attempt's; any other is a refusal. Every error is an *operation.Failure,
// or in a dry run httpcall.ErrDraft.
func (p *Provider) CreateUser(ctx context.Context, conn tsp.Connection, u tsp.UserCreate) (tsp.Created, error) {
	changes := forNew(u.Changes)
	password := tsp.NewPassword()
	c, failure := p.client(conn, changes, password)
	if failure != nil {
		return tsp.Created{}, failure
	}
	c.moved = u.Repeat && p.settled(conn.Credentials)
	plan := p.plan(conn.Settings, changes)
	user, failure := plan.newUser(conn.Settings, p.now())
	if failure != nil {
		return tsp.Created{}, failure
	}
	made, err := p.addOnce(ctx, c, plan, user, password, u.Repeat)
	draft := errors.Is(err, httpcall.ErrDraft)
	if err != nil && !draft {
		return tsp.Created{}, err
	}
	if plan.ruleset != "" {
		answer, err := c.addRuleset(ctx, made.SourceID, plan.ruleset, p.now())
		if err != nil {
			return tsp.Created{}, partial(err, "the user was created with the id "+made.SourceID)
		}
		made.Result = resultOf(answer)
	}
	if draft {
		return tsp.Created{}, httpcall.ErrDraft
	}
	return made, nil
}

// addOnce adds the user, or finds the one that an earlier attempt added. In a dry
// run the error is httpcall.ErrDraft and the id stands for the one to come.
func (p *Provider) addOnce(
	ctx context.Context, c client, plan *plan, user map[string]any, password string, repeat bool,
) (tsp.Created, error) {
	if name, _ := user[keyName].(string); repeat {
		found, answer, err := c.findUser(ctx, name)
		if err != nil {
			return tsp.Created{}, err
		}
		if found != nil {
			return plan.found(found, user, answer)
		}
	}
	user["password"] = password
	id, answer, err := c.addUser(ctx, user, password)
	if errors.Is(err, httpcall.ErrDraft) {
		id = unknownID
	}
	return tsp.Created{Result: resultOf(answer), SourceID: id}, err
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

// newUser is the entity of the new user without its password, or every reason why
// there cannot be one.
func (p *plan) newUser(settings map[string]string, now time.Time) (map[string]any, *operation.Failure) {
	p.checkNew()
	groups := []map[string]string{{"id": companyGroup}}
	if id := settings["company_group"]; id != "" {
		groups[0]["id"] = id
	}
	blank := entity{"companyGroups": raw(groups)}
	if !p.changes.Has(operation.FieldUsername) {
		blank[keyName] = raw(p.textOf(operation.FieldUserEmail))
	}
	if failure := p.settle(blank, now); failure != nil {
		return nil, failure
	}
	user := map[string]any{
		"isDriver": false, "activeFrom": wireTime(now), "activeTo": never,
		"securityGroups":         []map[string]string{{"id": noRights}},
		"userAuthenticationType": "BasicAuthentication",
		// Nobody knows the password, and the provider sends no mail unasked.
		"changePassword": true, "sendWelcomeEmail": false,
	}
	for key, v := range blank.with(p.patch) {
		user[key] = v
	}
	if user["isDriver"] == true {
		user["securityGroups"] = []map[string]string{{"id": driverRights}}
		user["viewDriversOwnDataOnly"] = true
	}
	return user, nil
}

// checkNew notes what is missing.
func (p *plan) checkNew() {
	for _, f := range []operation.Field{operation.FieldFirstName, operation.FieldLastName} {
		if p.textOf(f) == "" {
			p.refused.Add(f, "is needed to create a user")
		}
	}
	if !p.changes.Has(operation.FieldUsername) && !p.changes.Has(operation.FieldUserEmail) {
		p.refused.Add(operation.FieldUsername, "is needed to create a user; user_email may stand for it")
	}
}

// found takes the user that a repeat found, or refuses it. A ruleset that it has
// already is not added again.
func (p *plan) found(user entity, wanted map[string]any, answer httpcall.Answer) (tsp.Created, error) {
	if other := p.differing(user, wanted); len(other) > 0 {
		f := operation.Refuse("geotab: add user: the provider has a user with this login, with another %s", strings.Join(other, ", "))
		f.StatusCode, f.Header = answer.Status, answer.Header
		return tsp.Created{}, f
	}
	if p.ruleset == user.text(keyRuleset) {
		p.ruleset = ""
	}
	return tsp.Created{Result: resultOf(answer), SourceID: user.text("id")}, nil
}

// differing lists the fields of which the user has another value than the wanted
// one. A text that is missing is an empty one; activity and ruleset may follow.
func (p *plan) differing(user entity, wanted map[string]any) []string {
	var fields []string
	for _, f := range p.changes.Fields() {
		target := p.table.Rule(f).Target
		same := true
		switch want := wanted[target].(type) {
		case bool:
			same = user.flag(target) == want
		case string:
			same = target == keyActiveTo || user.text(target) == want ||
				target == keyName && strings.EqualFold(user.text(target), want)
		}
		if !same {
			fields = append(fields, string(f))
		}
	}
	return fields
}

// raw is the JSON of what always has one.
func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}
