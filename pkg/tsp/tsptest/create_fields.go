package tsptest

import (
	"maps"
	"slices"
	"testing"

	"writeback/pkg/operation"
)

// maxCreateValues bounds the values that are tried of one field: what an enum's
// members become is checked by the updates.
const maxCreateValues = 8

func (s Suite) createFields(t *testing.T, c Create) {
	base := operation.Changes{}
	for _, f := range s.bench(t, nil).provider.Describe().Create.Required {
		base[f] = c.Changes[f]
	}
	b := s.benchOn(t, c.Healthy, nil)
	if _, err := b.create(t.Context(), s, base, false); err != nil {
		t.Fatalf("the required fields alone: %v", err)
	}
	plain := c.Written(b.seen())
	for _, spec := range operation.UserFields {
		if base.Has(spec.Name) {
			continue
		}
		t.Run(string(spec.Name), func(t *testing.T) {
			t.Parallel()
			values := usual(spec)
			if own, ok := c.Values[spec.Name]; ok {
				values = own
			}
			values = append(slices.Clone(values[:min(len(values), maxCreateValues)]), operation.Null())
			for _, v := range values {
				s.tryCreate(t, c, base, plain, spec.Name, v)
			}
		})
	}
}

// tryCreate makes a user with one more field, and checks that it is sent and
// nothing else, or refused by its name and nobody made. A null needs no write.
func (s Suite) tryCreate(t *testing.T, c Create, base operation.Changes, plain []string, f operation.Field, v operation.Value) {
	t.Helper()
	b := s.benchOn(t, c.Healthy, nil)
	changes := maps.Clone(base)
	if !v.IsNull() {
		maps.Copy(changes, c.With[f])
	}
	changes[f] = v
	_, err := b.create(t.Context(), s, changes, false)
	names := c.Written(b.seen())
	if err != nil {
		if v.IsNull() {
			t.Errorf("null: there is nothing to clear, but it was refused: %v", err)
		}
		s.checkRefused(t, f, v, err, nil)
		if n := b.made(c); n > 0 {
			t.Errorf("%v: refused, but a user was made", describe(v))
		}
		return
	}
	users := b.provider.Describe().Users
	rule := users.Rule(f)
	may := slices.Concat(plain, []string{rule.Target}, c.Also[f])
	for other := range c.With[f] {
		may = append(append(may, users.Rule(other).Target), c.Also[other]...)
	}
	for _, name := range names {
		if !slices.Contains(may, name) {
			t.Errorf("%v: %q was written, though it is no part of the create", describe(v), name)
		}
	}
	if rule.Writable() && !v.IsNull() && !slices.Contains(names, rule.Target) && !c.Unchanged(f, v) {
		t.Errorf("%v: neither sent nor refused (written: %v)", describe(v), names)
	}
}
