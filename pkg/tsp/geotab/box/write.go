package box

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"writeback/internal/sandbox"
)

// entityOf gives the entity of a write, or the failure.
func entityOf(params map[string]any) (map[string]any, *sandbox.Answer) {
	if key := sandbox.StrangeKey(params, "typeName", "credentials", "entity"); key != "" {
		a := geotabFailure(excArgument, "Unknown parameter "+key)
		return nil, &a
	}
	entity, _ := params["entity"].(map[string]any)
	if entity == nil {
		a := geotabFailure(excArgumentNull, "entity is required")
		return nil, &a
	}
	return entity, nil
}

// set answers Set User. It replaces the whole entity: a key that is left out is
// reset, or gone if it has no default.
func (g *geotab) set(x *sandbox.Exchange, params map[string]any) sandbox.Answer {
	entity, failure := entityOf(params)
	if failure != nil {
		return *failure
	}
	u := x.User
	if sandbox.Text(entity, "id") == "" {
		return geotabFailure(excArgumentNull, "entity.id is required")
	}
	if u == nil {
		return geotabFailure(excArgument, "The entity was not found")
	}
	u.Lock()
	defer u.Unlock()
	if kind, message := g.checkEntity(entity, u.Fields); message != "" {
		return geotabFailure(kind, message)
	}
	if entity["isDriver"] == true && u.Fields["isDriver"] != true && len(refs(entity, "driverGroups")) == 0 {
		return geotabFailure(excArgument, "driverGroups is required to make a user a driver")
	}
	next := g.replace(x, u, entity)
	if kind, message := g.rules(next); message != "" {
		return geotabFailure(kind, message)
	}
	if conflict := x.Account.Claim(u, geotabClaims(next)); conflict != "" {
		return geotabFailure(excDuplicate, conflict+" is already used")
	}
	u.Fields = next
	u.Applied++
	x.Applied = u.Applied
	return geotabResult(nil)
}

func refs(entity map[string]any, key string) []any {
	list, _ := entity[key].([]any)
	return list
}

// checkEntity checks keys and types. A key that is not in the table is taken only
// if the stored entity has it, as a read entity that is written back does.
func (g *geotab) checkEntity(entity, stored map[string]any) (kind, message string) {
	for _, key := range slices.Sorted(maps.Keys(entity)) {
		field, known := g.fields[key]
		if !known {
			if _, has := stored[key]; !has {
				return excArgument, fmt.Sprintf("Unknown property %q", key)
			}
			continue
		}
		if entity[key] == nil {
			return excArgumentNull, key + " must not be null"
		}
		if message := field.check(key, entity[key]); message != "" {
			return excArgument, message
		}
	}
	return "", ""
}

// replace makes the entity that is stored: what was sent, defaults for what was
// not, and the server's own values where it computes them.
func (g *geotab) replace(x *sandbox.Exchange, u *sandbox.User, sent map[string]any) map[string]any {
	next := maps.Clone(sent)
	isDriver := sent["isDriver"] == true
	for key, field := range g.fields {
		_, has := sent[key]
		switch {
		case field.server:
			g.keepServer(x, u, next, key)
		case field.driver && !isDriver:
			delete(next, key)
			if has {
				x.Ignore(key)
			}
		case key == "password" || key == "sendWelcomeEmail":
			delete(next, key)
		case !has && key == "activeFrom":
			next[key] = g.now().UTC().Format(wireTime)
		case !has && field.reset != nil:
			next[key] = field.reset
		}
	}
	slices.Sort(x.Ignored)
	return next
}

// keepServer undoes what was sent for a value that the server computes. The
// ruleset is such a value: it comes from the dated rows.
func (g *geotab) keepServer(x *sandbox.Exchange, u *sandbox.User, next map[string]any, key string) {
	sent, has := next[key]
	delete(next, key)
	if key == "hosRuleSet" {
		if has && sent != currentRule(rowsOf(u), g.now()) {
			x.Ignore(key)
		}
		return
	}
	if kept, ok := u.Fields[key]; ok {
		next[key] = kept
	}
}

// add answers Add User.
func (g *geotab) add(x *sandbox.Exchange, params map[string]any) sandbox.Answer {
	entity, failure := entityOf(params)
	if failure != nil {
		return *failure
	}
	for _, key := range []string{"name", "firstName", "lastName", "password", "companyGroups", "securityGroups", "userAuthenticationType"} {
		if v, sent := entity[key]; !sent || v == "" {
			return geotabFailure(excArgumentNull, key+" is required")
		}
	}
	if kind, message := g.checkEntity(entity, nil); message != "" {
		return geotabFailure(kind, message)
	}
	if kind, message := addable(entity); message != "" {
		return geotabFailure(kind, message)
	}
	u := &sandbox.User{Applied: 1, State: []ruleRow{}}
	u.Lock()
	defer u.Unlock()
	u.Fields = g.replace(x, u, entity)
	u.Fields["isEULAAccepted"], u.Fields["isAutoAdded"] = false, false
	if kind, message := g.rules(u.Fields); message != "" {
		return geotabFailure(kind, message)
	}
	conflict := x.Account.Add(u, geotabClaims(u.Fields), func(n int) string {
		id := fmt.Sprintf("b%X", 0x100000+n)
		u.Fields["id"] = id
		return id
	})
	if conflict != "" {
		return geotabFailure(excDuplicate, conflict+" is already used")
	}
	x.Applied = 1
	return geotabResult(u.SourceID)
}

// geotabRights are the security groups that every database has.
var geotabRights = []string{
	"GroupEverythingSecurityId", "GroupSupervisorSecurityId", "GroupViewOnlySecurityId", "GroupNothingSecurityId",
	"GroupDriveUserSecurityId",
}

// addable gives what stands against a new user, or "".
func addable(entity map[string]any) (kind, message string) {
	switch {
	case entity["id"] != nil:
		return excArgument, "id must not be given"
	case len(sandbox.Text(entity, "password")) < 6:
		return excArgument, "password is too short"
	case len(refs(entity, "companyGroups")) == 0 || len(refs(entity, "securityGroups")) == 0:
		return excArgumentNull, "companyGroups and securityGroups must not be empty"
	}
	for _, group := range refs(entity, "securityGroups") {
		ref, _ := group.(map[string]any)
		if !slices.Contains(geotabRights, sandbox.Text(ref, "id")) {
			return excRelation, "A security group was not found"
		}
	}
	if entity["isDriver"] != true {
		for _, key := range []string{"licenseNumber", "licenseProvince", "driverGroups", "keys", "viewDriversOwnDataOnly"} {
			if _, sent := entity[key]; sent {
				return excArgument, key + " needs isDriver"
			}
		}
		return "", ""
	}
	if _, sent := entity["keys"]; !sent || len(refs(entity, "driverGroups")) == 0 {
		return excArgumentNull, "driverGroups and keys are required of a driver"
	}
	return "", ""
}

// addRuleset answers Add UserHosRuleSet: a dated row, shown on the user without
// its prefix once it has begun. It is not idempotent: each call makes a row.
func (g *geotab) addRuleset(x *sandbox.Exchange, params map[string]any) sandbox.Answer {
	entity, failure := entityOf(params)
	if failure != nil {
		return *failure
	}
	if key := sandbox.StrangeKey(entity, "dateTime", "user", "hosRuleSet", "startOfDay"); key != "" {
		return geotabFailure(excArgument, fmt.Sprintf("Unknown property %q", key))
	}
	from, err := time.Parse(time.RFC3339, sandbox.Text(entity, "dateTime"))
	if err != nil {
		return geotabFailure(excArgument, "dateTime must be an ISO 8601 time")
	}
	ruleset, _ := entity["hosRuleSet"].(map[string]any)
	name, known := rulesetName(sandbox.Text(ruleset, "id"))
	switch {
	case !known:
		return geotabFailure(excArgument, "hosRuleSet.id is not known")
	case strings.TrimSpace(x.UserRef) == "":
		return geotabFailure(excArgumentNull, "user.id is required")
	case x.User == nil:
		return geotabFailure(excRelation, "The user was not found")
	}
	u := x.User
	u.Lock()
	defer u.Unlock()
	u.State = addRule(rowsOf(u), ruleRow{from: from, name: name}, g.now())
	u.Applied++
	x.Applied = u.Applied
	return geotabResult(fmt.Sprintf("b%s%X", strings.TrimPrefix(u.SourceID, "b"), u.Applied))
}
