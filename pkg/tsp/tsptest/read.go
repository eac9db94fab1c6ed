package tsptest

import (
	"context"
	"maps"
	"slices"
	"testing"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Read describes how an adapter reads a user back.
type Read struct {
	// Want is the user of Suite.SourceID as the healthy provider has it.
	Want operation.Changes
	// Healthy makes a provider without faults that has the user and keeps what is
	// written to it. Nil: Suite.Healthy.
	Healthy func() func(Call) Reply
	// Fields can always be read back after they were written.
	Fields []operation.Field
	// Drops makes a provider that takes a write of Changes and keeps nothing of it.
	// Nil: not tried.
	Drops func() func(Call) Reply
}

// read checks a tsp.Reader.
func (s Suite) read(t *testing.T) {
	made := makeProvider(s.Read.Healthy).or(s.Healthy)
	t.Run("as held", func(t *testing.T) { t.Parallel(); s.readsWant(t, made) })
	t.Run("round trip", func(t *testing.T) { t.Parallel(); s.roundTrips(t, made) })
	t.Run("outcomes", func(t *testing.T) { t.Parallel(); s.outcomes(t, s.reading(made)) })
	if s.Read.Drops != nil {
		t.Run("dropped", func(t *testing.T) { t.Parallel(); s.readsDropped(t) })
	}
}

func (b *bench) read(ctx context.Context, s Suite) (operation.Changes, error) {
	return b.provider.(tsp.Reader).ReadUser(ctx, s.Connection, s.SourceID)
}

func (s Suite) reading(made makeProvider) trip {
	return trip{healthy: made, bare: true, act: func(ctx context.Context, b *bench) (tsp.Result, error) {
		_, err := b.read(ctx, s)
		return tsp.Result{}, err
	}}
}

func (s Suite) readsWant(t *testing.T, made makeProvider) {
	b := s.benchOn(t, made, nil)
	held, err := b.read(t.Context(), s)
	if err != nil {
		t.Fatalf("a healthy provider: %v", err)
	}
	checkFields(t, held)
	for _, f := range slices.Concat(held.Fields(), s.Read.Want.Fields()) {
		got, known := held.Get(f)
		want, wanted := s.Read.Want.Get(f)
		if known != wanted || got != want {
			t.Errorf("%s: got %v (%t), want %v (%t)", f, got.Any(), known, want.Any(), wanted)
		}
	}
	if n := len(b.written(s)); n > 0 {
		t.Errorf("a read made %d writes", n)
	}
}

// roundTrips checks that no field that the provider took is read back as another
// value, which would be reported to the partner.
func (s Suite) roundTrips(t *testing.T, made makeProvider) {
	for _, spec := range operation.UserFields {
		t.Run(string(spec.Name), func(t *testing.T) {
			t.Parallel()
			values := usual(spec)
			if own, ok := s.Values[spec.Name]; ok {
				values = own
			}
			known := 0
			for _, v := range append(slices.Clone(values), operation.Null()) {
				if s.roundTrip(t, made, spec.Name, v) {
					known++
				}
			}
			if known == 0 && slices.Contains(s.Read.Fields, spec.Name) {
				t.Error("the field could never be read back")
			}
		})
	}
}

// roundTrip writes the value and reads it back; true: it was read.
func (s Suite) roundTrip(t *testing.T, made makeProvider, f operation.Field, v operation.Value) bool {
	t.Helper()
	b := s.benchOn(t, made, nil)
	changes := operation.Changes{f: v}
	if !v.IsNull() {
		maps.Copy(changes, s.With[f])
	}
	if _, err := b.update(t.Context(), s, changes); err != nil {
		return false // refused, as the fields' rows check
	}
	held, err := b.read(t.Context(), s)
	if err != nil {
		t.Fatalf("%v: a healthy provider: %v", describe(v), err)
	}
	checkFields(t, held)
	users := b.provider.Describe().Users
	for _, field := range changes.Fields() {
		sent, _ := changes.Get(field)
		if got, ok := held.Get(field); ok && !users.Rule(field).Same(sent, got) {
			t.Errorf("%s: wrote %v, read %v", field, sent.Any(), got.Any())
		}
	}
	return held.Has(f)
}

// readsDropped checks that a read shows what the provider took and did not keep.
func (s Suite) readsDropped(t *testing.T) {
	b := s.benchOn(t, s.Read.Drops, nil)
	if _, err := b.update(t.Context(), s, s.Changes); err != nil {
		t.Fatalf("a provider that takes the write: %v", err)
	}
	held, err := b.read(t.Context(), s)
	if err != nil {
		t.Fatalf("a healthy provider: %v", err)
	}
	missed := 0
	for _, f := range s.Changes.Fields() {
		sent, _ := s.Changes.Get(f)
		if got, known := held.Get(f); known && got != sent {
			missed++
		}
	}
	if missed == 0 {
		t.Error("nothing of the write was kept, but the read does not show it")
	}
}
