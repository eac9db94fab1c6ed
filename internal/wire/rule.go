package wire

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"writeback/pkg/operation"
)

// Slugs of faults that more than one place gives.
const (
	typeUUID    = "uuid_parsing"
	typeBool    = "bool_parsing"
	typeEnum    = "enum"
	typePattern = "string_pattern_mismatch"
	typeString  = "string_type"
	typeMissing = "missing"

	typeConflict = "conflict"
)

// maxInput is how many characters of an offending value a fault repeats.
const maxInput = 100

// rule is what the decoder knows about one field.
type rule struct {
	spec operation.Spec
	// path is the field's at the top level, inner that inside of its parent. Made
	// once: most bodies have no fault to put them in.
	path, inner string
	// members of an enum, for a fast look-up.
	members map[string]struct{}
}

// rules is the field table by wire name. It is never written after this.
var rules = func() map[string]*rule {
	m := make(map[string]*rule, len(operation.UserFields))
	for _, spec := range operation.UserFields {
		r := &rule{
			spec:    spec,
			path:    "body." + string(spec.Name),
			inner:   "body." + spec.Parent + "." + string(spec.Name),
			members: make(map[string]struct{}, len(spec.Enum)),
		}
		for _, v := range spec.Enum {
			r.members[v] = struct{}{}
		}
		m[string(spec.Name)] = r
	}
	return m
}()

// check turns a JSON value into a field's value. A fault has a type slug.
func (r *rule) check(raw jsontext.Value, strict bool) (v operation.Value, message, slug string) {
	switch raw.Kind() {
	case jsontext.KindNull:
		return operation.Null(), "", ""
	case jsontext.KindTrue, jsontext.KindFalse:
		if r.spec.Kind == operation.KindBool {
			return operation.Flag(raw.Kind() == jsontext.KindTrue), "", ""
		}
	}
	text, ok := unquote(raw)
	switch {
	case r.spec.Kind == operation.KindBool:
		return v, "must be true, false or null", typeBool
	case !ok:
		return v, "must be a string or null", typeString
	}
	if message, slug = r.checkText(text, strict); slug != "" {
		return v, message, slug
	}
	return operation.Text(text), "", ""
}

func (r *rule) checkText(text string, strict bool) (message, slug string) {
	switch r.spec.Kind {
	case operation.KindEnum:
		if _, ok := r.members[text]; !ok {
			return "must be " + oneOf(r.spec.Enum), typeEnum
		}
	case operation.KindDate:
		// There was no year 0, and most who read dates refuse it.
		if t, err := time.Parse(time.DateOnly, text); err != nil || t.Year() == 0 {
			return "must be a calendar date written YYYY-MM-DD", "date_parsing"
		}
	case operation.KindAlpha3:
		if !alpha3(text) {
			return "must be three word characters, like USA (" + patternAlpha3 + ")", typePattern
		}
	case operation.KindString:
		if strict && r.spec.Name == operation.FieldPhoneCountryCode && !dialPrefix(text) {
			return "must be a plus sign and one to four digits, like +1", typePattern
		}
	}
	return "", ""
}

// patternAlpha3 is the contract's pattern. Its \w is read as ASCII, which is what
// JSON Schema's regular expressions say; some implementations of the contract
// would also take letters of other scripts, which no country code has.
const patternAlpha3 = `^\w{3}$`

func alpha3(s string) bool {
	if len(s) != 3 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		word := c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !word {
			return false
		}
	}
	return true
}

func dialPrefix(s string) bool {
	if len(s) < 2 || len(s) > 5 || s[0] != '+' || s[1] == '0' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// oneOf lists a small enum and counts a large one.
func oneOf(values []string) string {
	if len(values) > 8 {
		return fmt.Sprintf("one of the %d values in the API document, such as %s", len(values), values[0])
	}
	return "one of " + strings.Join(values, ", ")
}

// unquote gives the text of a JSON string, and false for any other value.
func unquote(raw jsontext.Value) (string, bool) {
	if raw.Kind() != jsontext.KindString {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; !hasEscape(inner) {
		return string(inner), true
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	return string(text), err == nil
}

func hasEscape(b []byte) bool {
	for _, c := range b {
		if c == '\\' {
			return true
		}
	}
	return false
}

// inputOf gives an offending value as the caller's fault shows it. It may be
// personal data: it goes back to its sender and must never be logged.
func inputOf(raw jsontext.Value) string {
	if text, ok := unquote(raw); ok {
		return clip(text)
	}
	return clip(string(raw))
}

func inputOfValue(v operation.Value) string {
	if v.IsNull() {
		return "null"
	}
	return clip(fmt.Sprint(v.Any()))
}

// clip cuts a text to maxInput characters.
func clip(s string) string {
	if len(s) <= maxInput {
		return s
	}
	n := 0
	for i := range s {
		if n == maxInput {
			return s[:i]
		}
		n++
	}
	return s
}
