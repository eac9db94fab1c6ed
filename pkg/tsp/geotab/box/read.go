package box

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"writeback/internal/sandbox"
)

// view is a user as Geotab shows it: with the ruleset in force and no null.
func (g *geotab) View(u *sandbox.User) map[string]any {
	u.Lock()
	fields, rows := u.Fields, rowsOf(u)
	u.Unlock()
	out := maps.Clone(fields)
	out["hosRuleSet"] = currentRule(rows, g.now())
	return out
}

// get answers Get User.
func (g *geotab) get(x *sandbox.Exchange, params map[string]any) sandbox.Answer {
	if key := sandbox.StrangeKey(params, "typeName", "credentials", "search", "resultsLimit", "sort"); key != "" {
		return geotabFailure(excArgument, "Unknown parameter "+key)
	}
	wanted, wrong := geotabSearch(params)
	if wrong != "" {
		return geotabFailure(excArgument, wrong)
	}
	limit := g.cfg.PlainGet
	if raw, sent := params["resultsLimit"]; sent && raw != nil {
		number, _ := raw.(json.Number)
		n, err := number.Int64()
		if err != nil || n < 1 || n > 50_000 {
			return geotabFailure(excArgument, "resultsLimit must be 1 to 50000")
		}
		limit = int(n)
	}
	users, wrong := afterOffset(x.Account, params)
	if wrong != "" {
		return geotabFailure(excArgument, wrong)
	}
	result := []any{}
	if id := wanted["id"]; id != nil { // the hot case; an unknown id is no error
		users = nil
		if u := x.Account.Find(id.(string)); u != nil {
			users = []*sandbox.User{u}
		}
	}
	driversOnly := params["typeName"] == "Driver"
	for _, u := range users {
		if len(result) == limit {
			break
		}
		fields := g.View(u)
		if geotabMatches(fields, wanted) && (!driversOnly || fields["isDriver"] == true) {
			result = append(result, fields)
		}
	}
	return geotabResult(result)
}

// geotabSearch checks the search members that the sandbox knows.
func geotabSearch(params map[string]any) (wanted map[string]any, wrong string) {
	raw, sent := params["search"]
	if !sent || raw == nil {
		return nil, ""
	}
	wanted, ok := raw.(map[string]any)
	if !ok {
		return nil, "search must be an object"
	}
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		switch key {
		case "id", "name", "firstName", "lastName":
			_, ok = wanted[key].(string)
		case "isDriver":
			_, ok = wanted[key].(bool)
		default:
			return nil, "Unknown search member " + key
		}
		if !ok {
			return nil, "search member " + key + " has the wrong type"
		}
	}
	return wanted, ""
}

func geotabMatches(fields, wanted map[string]any) bool {
	for key, want := range wanted {
		if s, isText := want.(string); isText && key != "id" {
			if !strings.EqualFold(sandbox.Text(fields, key), s) {
				return false
			}
			continue
		}
		if fields[key] != want {
			return false
		}
	}
	return true
}

// afterOffset gives the users that a seek page looks at: those after the id.
func afterOffset(a *sandbox.Account, params map[string]any) (users []*sandbox.User, wrong string) {
	users = a.List()
	raw, sent := params["sort"]
	if !sent || raw == nil {
		return users, ""
	}
	sort, ok := raw.(map[string]any)
	if !ok {
		return nil, "sort must be an object"
	}
	if key := sandbox.StrangeKey(sort, "sortBy", "sortDirection", "offset"); key != "" {
		return nil, "sort member " + key + " cannot be used with a sort by id"
	}
	if sort["sortBy"] != "id" || (sort["sortDirection"] != nil && sort["sortDirection"] != "asc") {
		return nil, "only a rising sort by id is supported"
	}
	offset, isText := sort["offset"].(string)
	switch {
	case sort["offset"] == nil || (isText && offset == ""):
		return users, ""
	case !isText:
		return nil, "sort offset must be a string"
	}
	at := slices.IndexFunc(users, func(u *sandbox.User) bool { return u.SourceID == offset })
	if at < 0 {
		return nil, "sort offset is not an id"
	}
	return users[at+1:], ""
}

// count answers GetCountOf User.
func (g *geotab) count(x *sandbox.Exchange, params map[string]any) sandbox.Answer {
	if key := sandbox.StrangeKey(params, "typeName", "credentials"); key != "" {
		return geotabFailure(excArgument, "Unknown parameter "+key)
	}
	return geotabResult(len(x.Account.List()))
}
