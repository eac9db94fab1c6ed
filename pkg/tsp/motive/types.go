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
)

// Roles of a Motive user.
const (
	roleDriver    = "driver"
	roleFleetUser = "fleet_user"
)

// decodeUser reads {"user":{...}} and checks that it is the user with the id.
func decodeUser(body []byte, id string) (map[string]any, error) {
	var answer struct {
		User map[string]any `json:"user"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // an id may not fit a float
	if err := dec.Decode(&answer); err != nil {
		return nil, fmt.Errorf("motive: decode user: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("motive: decode user: text after the answer")
	}
	if got := fmt.Sprint(answer.User["id"]); answer.User["id"] == nil || got != id {
		return nil, errors.New("motive: decode user: the answer does not name the user")
	}
	return answer.User, nil
}

// text is the string at a key, or "" for anything else.
func text(user map[string]any, key string) string {
	s, _ := user[key].(string)
	return s
}

// errorMessage finds the sentence in an error body: "error_message", else
// "errors" in any of its forms, else the JSON as it is. What is not JSON is a
// proxy's page and gives "".
func errorMessage(body []byte) string {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		if !json.Valid(body) {
			return ""
		}
		return string(body)
	}
	for _, key := range []string{"error_message", "errors"} {
		var b strings.Builder
		flatten(&b, fields[key], 0)
		if b.Len() > 0 {
			return b.String()
		}
	}
	if len(fields) == 0 {
		return ""
	}
	return string(body)
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
