package motive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Keys of a Motive user that more than one rule speaks about.
const (
	keyRole         = "role"
	keyStatus       = "status"
	keyEmail        = "email"
	keyUsername     = "username"
	keyPhone        = "phone"
	keyPhoneCountry = "phone_country_code"
	keyCycle        = "cycle"
	keyELDMode      = "eld_mode"
	keyTimeTracking = "time_tracking_mode"
	keyTimeZone     = "time_zone"
)

// States of a Motive user.
const (
	statusActive      = "active"
	statusDeactivated = "deactivated"
)

// Roles of a Motive user.
const (
	roleDriver    = "driver"
	roleFleetUser = "fleet_user"
)

// decodeUser reads {"user":{...}} and checks that it is the user with the id, or
// if that is empty that it is a user at all.
func decodeUser(body []byte, id string) (map[string]any, error) {
	var answer wrapped
	if err := decode(body, &answer); err != nil {
		return nil, err
	}
	got := idOf(answer.User)
	if got == "" || id != "" && got != id {
		return nil, errors.New("motive: decode user: the answer does not name the user")
	}
	return answer.User, nil
}

// wrapped is a user as single answers and lists hold it.
type wrapped struct {
	User map[string]any `json:"user"`
}

// userList is a page of users.
type userList struct {
	Users      []wrapped `json:"users"`
	Pagination struct {
		PerPage int `json:"per_page"`
		Total   int `json:"total"`
	} `json:"pagination"`
}

// decodeList reads a page and checks that each item is a user.
func decodeList(body []byte) (userList, error) {
	var list userList
	if err := decode(body, &list); err != nil {
		return userList{}, err
	}
	if list.Users == nil {
		return userList{}, errors.New("motive: decode users: the answer has no list")
	}
	for _, item := range list.Users {
		if idOf(item.User) == "" {
			return userList{}, errors.New("motive: decode users: an item does not name its user")
		}
	}
	return list, nil
}

// decode reads exactly one JSON value.
func decode(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // an id may not fit a float
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("motive: decode: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("motive: decode: text after the answer")
	}
	return nil
}

// idOf is the user's id, or "" if there is none.
func idOf(user map[string]any) string {
	id := fmt.Sprint(user["id"])
	if !userID.MatchString(id) {
		return ""
	}
	return id
}

// text is the string at a key, or "" for anything else.
func text(user map[string]any, key string) string {
	s, _ := user[key].(string)
	return s
}

// errorMessage finds the sentence in an error body: "error_message", else
// "errors" in any of its forms, else all that the JSON says. Its escapes are undone, or
// what must not be shown would not be found in it. What is not JSON is a proxy's page
// and gives "".
func errorMessage(body []byte) string {
	var all any
	if decode(body, &all) != nil {
		return ""
	}
	fields, _ := all.(map[string]any)
	for _, part := range []any{fields["error_message"], fields["errors"], all} {
		var b strings.Builder
		flatten(&b, part, 0)
		if b.Len() > 0 {
			return b.String()
		}
	}
	return ""
}

const maxErrorDepth = 4

func flatten(b *strings.Builder, v any, depth int) {
	if depth > maxErrorDepth {
		return
	}
	switch v := v.(type) {
	case nil:
	case string:
		b.WriteString(v)
	case []any:
		for i, item := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			flatten(b, item, depth+1)
		}
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for i, key := range keys {
			if i > 0 {
				b.WriteString("; ")
			}
			b.WriteString(key + ": ")
			flatten(b, v[key], depth+1)
		}
	default:
		fmt.Fprint(b, v)
	}
}
