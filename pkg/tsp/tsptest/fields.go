package tsptest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// samples are usual values of fields whose form a provider may check.
var samples = map[operation.Field]string{
	operation.FieldUsername:         "dana.whitfield",
	operation.FieldUserEmail:        "dana@example.com",
	operation.FieldPhoneNumber:      "5550100144",
	operation.FieldPhoneCountryCode: "+52",
	operation.FieldLicenseRegion:    "PA",
	operation.FieldDOTID:            "77123",
}

// usual are the values of a field that are tried unless the suite has others:
// every member of an enum, both booleans, one text.
func usual(spec operation.Spec) []operation.Value {
	switch spec.Kind {
	case operation.KindBool:
		return []operation.Value{operation.Flag(true), operation.Flag(false)}
	case operation.KindEnum:
		values := make([]operation.Value, len(spec.Enum))
		for i, member := range spec.Enum {
			values[i] = operation.Text(member)
		}
		return values
	case operation.KindDate:
		return []operation.Value{operation.Text("2031-05-31")}
	case operation.KindAlpha3:
		return []operation.Value{operation.Text("USA"), operation.Text("MEX"), operation.Text("JPN")}
	default:
		if sample, ok := samples[spec.Name]; ok {
			return []operation.Value{operation.Text(sample)}
		}
		return []operation.Value{operation.Text("new-value")}
	}
}

func (s Suite) fields(t *testing.T) {
	for _, spec := range operation.UserFields {
		t.Run(string(spec.Name), func(t *testing.T) {
			t.Parallel()
			values := usual(spec)
			if own, ok := s.Values[spec.Name]; ok {
				values = own
			}
			var sent, refused int
			for _, v := range values {
				switch s.tryField(t, spec.Name, v) {
				case fieldSent:
					sent++
				case fieldRefused:
					refused++
				}
			}
			rule := s.rule(t, spec.Name)
			if rule.Writable() && sent == 0 {
				t.Error("the table says that the field can be written, but no value was sent")
			}
			if !rule.Writable() && refused == 0 {
				t.Error("the table says that the field cannot be written, but no value was refused")
			}
			s.tryNull(t, spec.Name, rule)
		})
	}
}

func (s Suite) rule(t *testing.T, f operation.Field) tsp.Rule {
	t.Helper()
	return s.bench(t, nil).provider.Describe().Users.Rule(f)
}

type fieldOutcome uint8

const (
	fieldLeft fieldOutcome = iota
	fieldSent
	fieldRefused
)

// tryField writes one field alone (or with what it needs) and checks that it is
// sent and nothing else, or refused by its name with nothing sent.
func (s Suite) tryField(t *testing.T, f operation.Field, v operation.Value) fieldOutcome {
	t.Helper()
	b := s.bench(t, nil)
	changes := operation.Changes{f: v}
	maps.Copy(changes, s.With[f])
	_, err := b.update(t.Context(), s, changes)
	names := s.Written(b.seen())
	users := b.provider.Describe().Users
	rule := users.Rule(f)
	if err != nil {
		s.checkRefused(t, f, v, err, names)
		return fieldRefused
	}
	may := slices.Concat([]string{rule.Target}, s.Also[f])
	for other := range s.With[f] {
		may = append(may, users.Rule(other).Target)
		may = append(may, s.Also[other]...)
	}
	for _, name := range names {
		if !slices.Contains(may, name) {
			t.Errorf("%v: %q was written, though it is no part of the change", describe(v), name)
		}
	}
	if slices.Contains(names, rule.Target) {
		return fieldSent
	}
	if rule.Writable() && !s.Unchanged(f, v) {
		t.Errorf("%v: neither sent nor refused (written: %v)", describe(v), names)
	}
	return fieldLeft
}

func (s Suite) tryNull(t *testing.T, f operation.Field, rule tsp.Rule) {
	t.Helper()
	b := s.bench(t, nil)
	changes := operation.Changes{f: operation.Null()}
	_, err := b.update(t.Context(), s, changes)
	calls := b.seen()
	switch {
	case rule.Clearable() && err != nil:
		t.Errorf("null: the table says that the field can be cleared, but: %v", err)
	case rule.Clearable():
		if !slices.Contains(s.Written(calls), rule.Target) && !s.Unchanged(f, operation.Null()) {
			t.Error("null: the field was neither cleared nor refused")
		}
	case err == nil:
		t.Error("null: the table says that the field cannot be cleared, but it was taken")
	default:
		s.checkRefused(t, f, operation.Null(), err, s.Written(calls))
		if len(calls) > 0 {
			t.Errorf("null: refused by the table, but %d calls were made", len(calls))
		}
	}
}

func (s Suite) checkRefused(t *testing.T, f operation.Field, v operation.Value, err error, written []string) {
	t.Helper()
	failure := Failure(t, err)
	if failure.Type != operation.ErrorValidation || failure.Retryable {
		t.Errorf("%v: got %v, want a validation failure that is not retried", describe(v), failure)
	}
	if !strings.Contains(failure.Detail, string(f)) {
		t.Errorf("%v: detail %q does not name the field", describe(v), failure.Detail)
	}
	if len(written) > 0 {
		t.Errorf("%v: refused, but %v was written", describe(v), written)
	}
	if spec, _ := operation.SpecOf(f); spec.Personal && v.Text() != "" && strings.Contains(failure.Detail, v.Text()) {
		t.Errorf("%v: the detail repeats personal data", describe(v))
	}
}

func describe(v operation.Value) string { return fmt.Sprintf("value %v", v.Any()) }
