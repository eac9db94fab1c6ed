package tsp

import (
	"fmt"
	"reflect"
	"strings"

	"writeback/pkg/operation"
)

// Clear says what an explicit null becomes at the provider.
type Clear uint8

// The ways to clear a field.
const (
	// ClearRefused: the provider cannot clear the field; a null fails as validation.
	ClearRefused Clear = iota
	// ClearEmpty sends an empty string.
	ClearEmpty
	// ClearNull sends a JSON null.
	ClearNull
	// ClearFalse sends false.
	ClearFalse
)

// Rule says how one unified field is written at a provider.
type Rule struct {
	Field operation.Field
	// Target is the provider's name of the field. Empty: the provider cannot hold
	// it, and a write fails as validation, except for values that Convert accepts
	// because they say nothing new (it then returns Omit).
	Target string
	// Clear says what null becomes.
	Clear Clear
	// Note is for the partner: why it is refused, or what to know about it.
	Note string
	// Convert turns a value (never null) into the provider's, or refuses it with a
	// sentence that does not repeat the value. Nil: sent as it is.
	Convert func(v operation.Value) (any, error)
	// Joint fields are written by the adapter's own code together with others.
	// Apply checks null and Convert for them but writes nothing.
	Joint bool
}

// Writable reports whether the provider can hold the field at all.
func (r Rule) Writable() bool { return r.Target != "" }

// Clearable reports whether a null can be written.
func (r Rule) Clearable() bool { return r.Target != "" && r.Clear != ClearRefused }

// Same reports whether the value that was read back is the one that was sent, as
// the provider writes it: "US-PA" and "PA" may be one.
func (r Rule) Same(sent, held operation.Value) bool {
	switch {
	case sent == held:
		return true
	case held.IsNull():
		return sent == operation.Text("")
	case sent.IsNull():
		return r.Clear == ClearFalse && held == operation.Flag(false) || r.Clear == ClearEmpty && held == operation.Text("")
	case r.Convert == nil:
		return false
	}
	a, errA := r.Convert(sent)
	b, errB := r.Convert(held)
	return errA == nil && errB == nil && reflect.DeepEqual(a, b)
}

// Table is a provider's rules, one per field of operation.UserFields.
type Table []Rule

// Omit is what Convert returns for a value that needs no write.
var Omit = omit{}

type omit struct{}

// Rule gives the rule of a field; a field without one cannot be held.
func (t Table) Rule(f operation.Field) Rule {
	for _, r := range t {
		if r.Field == f {
			return r
		}
	}
	return Rule{Field: f}
}

// Refusals collects every field that a provider cannot take.
type Refusals struct {
	provider string
	reasons  []string
}

// NewRefusals starts an empty collection.
func NewRefusals(provider string) *Refusals { return &Refusals{provider: provider} }

// Add notes that the field cannot be written, and why.
func (r *Refusals) Add(f operation.Field, format string, args ...any) {
	r.reasons = append(r.reasons, string(f)+": "+fmt.Sprintf(format, args...))
}

// Failure is nil if nothing was refused, else a validation failure that names
// every refused field.
func (r *Refusals) Failure() *operation.Failure {
	if len(r.reasons) == 0 {
		return nil
	}
	return operation.Refuse("not sent to %s: %s", r.provider, strings.Join(r.reasons, "; "))
}

// Apply maps the changes to the provider's fields by the table, and notes every
// field that the provider cannot take. Joint fields are checked, not written.
func (t Table) Apply(changes operation.Changes, refused *Refusals) map[string]any {
	out := make(map[string]any, len(changes))
	for _, field := range changes.Fields() {
		v, _ := changes.Get(field)
		rule := t.Rule(field)
		value, err := rule.value(v)
		switch {
		case err != nil:
			refused.Add(field, "%s", err)
		case value == Omit || rule.Joint:
		default:
			out[rule.Target] = value
		}
	}
	return out
}

// value is what the provider gets for v, or why it gets nothing.
func (r Rule) value(v operation.Value) (any, error) {
	if v.IsNull() {
		switch {
		case !r.Writable():
			return nil, fmt.Errorf("%s", r.reason("the provider has no such field"))
		case r.Clear == ClearEmpty:
			return "", nil
		case r.Clear == ClearNull:
			return nil, nil
		case r.Clear == ClearFalse:
			return false, nil
		default:
			return nil, fmt.Errorf("the provider cannot clear this field (null)")
		}
	}
	if r.Convert != nil {
		return r.Convert(v)
	}
	if !r.Writable() {
		return nil, fmt.Errorf("%s", r.reason("the provider has no such field"))
	}
	return v.Any(), nil
}

func (r Rule) reason(otherwise string) string {
	if r.Note != "" {
		return r.Note
	}
	return otherwise
}
