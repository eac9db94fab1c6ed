package tsptest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"writeback/pkg/operation"
)

// oddAnswers is how many odd answers are played at each call of a trip.
const oddAnswers = 60

// odd plays, at each call of the trip, the provider's right answer with something in it
// changed: another type, a member more or less, a cut. What an adapter makes of it is its own;
// but it ends, in a result or in a failure that is fit for a log.
func (s Suite) odd(t *testing.T, tr trip, calls int) {
	for step := range calls {
		for seed := range uint64(oddAnswers) {
			rng := rand.New(rand.NewPCG(uint64(step), seed))
			b := s.benchOn(t, changed(tr.healthy.or(s.Healthy), step, rng), nil)
			if _, err := tr.act(t.Context(), b); err != nil {
				s.fitForLog(t, fmt.Sprintf("call %d, answer %d", step+1, seed), err)
			}
		}
	}
}

// fitForLog checks a failure that an answer which no provider should give has led to.
func (s Suite) fitForLog(t *testing.T, where string, err error) {
	t.Helper()
	f := Failure(t, err)
	if !f.Type.Valid() || !utf8.ValidString(f.Detail) || len(f.Detail) > 1000 || strings.ContainsAny(f.Detail, "\x00\x1b\n") {
		t.Errorf("%s: a failure that no log may show: %q %q", where, f.Type, f.Detail)
	}
	if f.Type == operation.ErrorValidation && f.Retryable {
		t.Errorf("%s: what is refused is not tried again: %q", where, f.Detail)
	}
	s.checkSecrets(t, f)
}

// changed makes the provider whose answer to one call is another than it should be.
func changed(made makeProvider, step int, rng *rand.Rand) makeProvider {
	return func() func(Call) Reply {
		healthy, n := made(), 0
		return func(c Call) Reply {
			r := healthy(c)
			if n == step {
				r.Body = change(r.Body, rng)
			}
			n++
			return r
		}
	}
}

// change gives the text with one to three of its values changed, or cut.
func change(body string, rng *rand.Rand) string {
	var v any
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if rng.IntN(8) == 0 || d.Decode(&v) != nil {
		return body[:rng.IntN(len(body)+1)]
	}
	for range 1 + rng.IntN(3) {
		place := rng.IntN(size(v))
		v = replace(v, &place, rng)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return body
	}
	return string(text)
}

// size counts the values in one, itself with them.
func size(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, one := range v {
			n += size(one)
		}
	case []any:
		for _, one := range v {
			n += size(one)
		}
	}
	return n
}

// replace changes the value at a place, by depth first.
func replace(v any, place *int, rng *rand.Rand) any {
	if *place == 0 {
		*place = -1
		return oddly(v, rng)
	}
	*place--
	switch v := v.(type) {
	case map[string]any:
		for _, name := range names(v) {
			if *place < 0 {
				break
			}
			v[name] = replace(v[name], place, rng)
		}
	case []any:
		for i := range v {
			if *place < 0 {
				break
			}
			v[i] = replace(v[i], place, rng)
		}
	}
	return v
}

// oddly gives something that a provider might say in the place of a value.
func oddly(v any, rng *rand.Rand) any {
	if m, ok := v.(map[string]any); ok && len(m) > 0 && rng.IntN(2) == 0 {
		delete(m, names(m)[rng.IntN(len(m))])
		return m
	}
	odd := []any{
		nil, true, "", "\x00\x1b[2J\u202e", strings.Repeat("9", 400), "2006-13-45T99:00:00Z", json.Number("-1"), json.Number("1e400"),
		json.Number("9223372036854775808"), []any{}, []any{nil}, map[string]any{}, map[string]any{"": nil}, []any{v, v},
		map[string]any{"message": v, "error": json.Number("5")}, strings.Repeat("[", 500),
	}
	return odd[rng.IntN(len(odd))]
}

// names are those of the members, in order, so that a seed means the same each time.
func names(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
