package sandbox

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

const (
	mask = "*****"
	// maxPlain is how much of a body that is not JSON is shown.
	maxPlain = 4 << 10
)

// isSecret reports whether a key holds a credential.
func isSecret(key string) bool {
	switch strings.ToLower(key) {
	case "password", "sessionid", "session_id", "access_token", "refresh_token", "token",
		"client_secret", "auth_code", "code", "api_key", "apikey", "authorization",
		"sid", "eid", "session_token", "app_token", "pwd", "pin":
		return true
	}
	return false
}

// maskBody makes a body fit to be shown: credentials are replaced in JSON, and
// what cannot be read is withheld if it may hold one.
func maskBody(contentType string, body []byte) json.RawMessage {
	if len(body) == 0 {
		return nil
	}
	var v any
	if err := DecodeJSON(body, &v); err != nil {
		return maskPlain(contentType, body)
	}
	b, err := json.Marshal(maskValue(v))
	if err != nil {
		return nil
	}
	return b
}

func maskValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if isSecret(key) {
				v[key] = mask
			} else {
				v[key] = maskValue(inner)
			}
		}
	case []any:
		for i := range v {
			v[i] = maskValue(v[i])
		}
	}
	return v
}

func maskPlain(contentType string, body []byte) json.RawMessage {
	shown := strings.ToValidUTF8(string(body[:min(len(body), maxPlain)]), "")
	if strings.Contains(contentType, "form-urlencoded") {
		shown = maskQuery(shown)
	} else if mayHoldSecret(shown) {
		shown = fmt.Sprintf("%s (%d bytes that are not JSON)", mask, len(body))
	}
	b, err := json.Marshal(shown)
	if err != nil {
		return nil
	}
	return b
}

func mayHoldSecret(s string) bool {
	s = strings.ToLower(s)
	for _, word := range []string{"password", "session", "token", "secret", "code", "key", "pwd", "sid", "pin", `\u`} {
		if strings.Contains(s, word) {
			return true
		}
	}
	return false
}

// maskQuery masks form fields; a query without secrets stays as it came.
func maskQuery(query string) string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return mask
	}
	found := false
	for key, given := range values {
		if isSecret(key) {
			values[key] = []string{mask}
			found = true
			continue
		}
		for i, v := range given {
			// A form may hold JSON, and that a credential.
			var inner map[string]any
			if DecodeJSON([]byte(v), &inner) != nil || !mayHoldSecret(v) {
				continue
			}
			if b, err := json.Marshal(maskValue(inner)); err == nil {
				given[i], found = string(b), true
			}
		}
	}
	if !found {
		return query
	}
	return values.Encode()
}
