package tsptest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Create describes how an adapter makes users.
type Create struct {
	// Changes are a create that the provider takes, all required fields included.
	Changes operation.Changes
	// SourceID is the id that the healthy provider gives to the new user.
	SourceID string
	// Healthy makes a provider without faults that does not have the user yet, and
	// keeps what is made: a repeat has to find it. Nil: Suite.Healthy.
	Healthy func() func(Call) Reply
	// Makes reports that a call makes a user. Nil: every POST.
	Makes func(Call) bool
	// Lookup names the rows of outcomes that are a right answer ("nobody") to a
	// repeat's look for the user. Nil: "404", "404 text" and "own not found".
	Lookup []string
	// Password gives the generated password of a call that makes a user. Nil: the
	// provider needs none.
	Password func(Call) string

	// Values, With, Unchanged, Written and Also are as in the Suite, for creating;
	// where nil, those of the Suite hold.
	Values    map[operation.Field][]operation.Value
	With      map[operation.Field]operation.Changes
	Unchanged func(operation.Field, operation.Value) bool
	Written   func(calls []Call) []string
	Also      map[operation.Field][]string
}

func (c Create) withDefaults(s Suite) Create {
	if c.Healthy == nil {
		c.Healthy = s.Healthy
	}
	if c.Makes == nil {
		c.Makes = func(call Call) bool { return call.Method == http.MethodPost }
	}
	if c.Lookup == nil {
		c.Lookup = []string{"404", "404 text", "own " + string(NotFound)}
	}
	if c.Values == nil {
		c.Values = s.Values
	}
	if c.With == nil {
		c.With = s.With
	}
	if c.Unchanged == nil {
		c.Unchanged = s.Unchanged
	}
	if c.Written == nil {
		c.Written = s.Written
	}
	if c.Also == nil {
		c.Also = s.Also
	}
	return c
}

// operationID is that of the suite's create.
var operationID = uuid.MustParse("0190a7d0-4c11-7abc-8def-0123456789ab")

// create checks a tsp.Creator.
func (s Suite) create(t *testing.T) {
	c := s.Create.withDefaults(s)
	t.Run("success", func(t *testing.T) { t.Parallel(); s.createsOne(t, c) })
	t.Run("repeat", func(t *testing.T) { t.Parallel(); s.repeats(t, c) })
	t.Run("required", func(t *testing.T) { t.Parallel(); s.required(t, c) })
	t.Run("fields", func(t *testing.T) { t.Parallel(); s.createFields(t, c) })
	t.Run("outcomes", func(t *testing.T) { t.Parallel(); s.outcomes(t, withoutOthers(s.creating(c, false))) })
	t.Run("outcomes of a repeat", func(t *testing.T) { t.Parallel(); s.outcomes(t, withoutOthers(s.looking(t, c))) })
	t.Run("dry run", func(t *testing.T) { t.Parallel(); s.dryRun(t, s.creating(c, false)) })
	t.Run("dry run of a repeat", func(t *testing.T) { t.Parallel(); s.dryRun(t, s.creating(c, true)) })
	t.Run("budget", func(t *testing.T) { t.Parallel(); s.budget(t, s.creating(c, false)) })
	if c.Password != nil {
		t.Run("password", func(t *testing.T) { t.Parallel(); s.password(t, c) })
	}
}

func (b *bench) create(ctx context.Context, s Suite, changes operation.Changes, repeat bool) (tsp.Created, error) {
	creator, ok := b.provider.(tsp.Creator)
	if !ok {
		return tsp.Created{}, errors.New("the adapter is no tsp.Creator")
	}
	return creator.CreateUser(ctx, s.Connection, tsp.UserCreate{OperationID: operationID, Changes: changes, Repeat: repeat})
}

// creating is the trip of the suite's create.
func (s Suite) creating(c Create, repeat bool) trip {
	return trip{healthy: c.Healthy, act: func(ctx context.Context, b *bench) (tsp.Result, error) {
		created, err := b.create(ctx, s, c.Changes, repeat)
		return created.Result, err
	}}
}

// looking is the trip of a repeat that finds nobody.
func (s Suite) looking(t *testing.T, c Create) trip {
	t.Helper()
	tr := s.creating(c, true)
	b := s.benchOn(t, c.Healthy, nil)
	if _, err := tr.act(t.Context(), b); err != nil {
		t.Fatalf("a healthy provider: %v", err)
	}
	made := slices.IndexFunc(b.seen(), c.Makes)
	tr.fine = func(step int, row string) bool { return step < made && slices.Contains(c.Lookup, row) }
	return tr
}

// withoutOthers leaves out the answer that names another user: here there is none
// yet.
func withoutOthers(tr trip) trip {
	fine := tr.fine
	tr.fine = func(step int, row string) bool {
		return row == "own "+string(OtherUser) || fine != nil && fine(step, row)
	}
	return tr
}

// made counts the calls that made a user.
func (b *bench) made(c Create) int {
	return len(slices.DeleteFunc(b.seen(), func(call Call) bool { return !c.Makes(call) }))
}

func (s Suite) createsOne(t *testing.T, c Create) {
	b := s.benchOn(t, c.Healthy, nil)
	before := maps.Clone(c.Changes)
	created, err := b.create(t.Context(), s, c.Changes, false)
	if err != nil {
		t.Fatalf("a healthy provider: %v", err)
	}
	if created.SourceID != c.SourceID {
		t.Errorf("source id: got %q, want %q", created.SourceID, c.SourceID)
	}
	if n := b.made(c); n != 1 {
		t.Errorf("%d users were made, want 1", n)
	}
	if !maps.Equal(before, c.Changes) {
		t.Error("the adapter changed its arguments")
	}
}

// repeats checks that a repeat looks first: it makes the user that is not there,
// and finds the one that an earlier attempt made.
func (s Suite) repeats(t *testing.T, c Create) {
	for _, first := range []bool{false, true} {
		b := s.benchOn(t, c.Healthy, nil)
		if _, err := b.create(t.Context(), s, c.Changes, first); err != nil {
			t.Fatalf("a healthy provider: %v", err)
		}
		if first && c.Makes(b.seen()[0]) {
			t.Error("a repeat made a user without looking for one")
		}
		for range 2 {
			created, err := b.create(t.Context(), s, c.Changes, true)
			if err != nil {
				t.Fatalf("a repeat: %v", err)
			}
			if created.SourceID != c.SourceID {
				t.Errorf("a repeat: source id: got %q, want %q", created.SourceID, c.SourceID)
			}
		}
		if n := b.made(c); n != 1 {
			t.Errorf("%d users were made, want 1", n)
		}
	}
}

// required checks that each required field is missed by its name, all at once and
// before any call.
func (s Suite) required(t *testing.T, c Create) {
	fields := s.bench(t, nil).provider.Describe().Create.Required
	refuse := func(changes operation.Changes, names ...operation.Field) {
		t.Helper()
		b := s.benchOn(t, c.Healthy, nil)
		_, err := b.create(t.Context(), s, changes, false)
		if err == nil {
			t.Fatalf("a user was made without %v", names)
		}
		f := Failure(t, err)
		if f.Type != operation.ErrorValidation || f.Retryable {
			t.Errorf("without %v: got %v, want a validation failure that is not retried", names, f)
		}
		for _, name := range names {
			if !strings.Contains(f.Detail, string(name)) {
				t.Errorf("detail %q does not name %s", f.Detail, name)
			}
		}
		if n := len(b.seen()); n > 0 {
			t.Errorf("without %v: %d calls were made", names, n)
		}
	}
	for _, field := range fields {
		if !c.Changes.Has(field) {
			t.Errorf("the suite's create has no %s", field)
		}
		absent, null := maps.Clone(c.Changes), maps.Clone(c.Changes)
		delete(absent, field)
		refuse(absent, field)
		null[field] = operation.Null()
		refuse(null, field)
	}
	if len(fields) > 0 {
		refuse(operation.Changes{}, fields...)
	}
}

// minPassword is how long a generated password is at least.
const minPassword = 24

// password checks that a generated password is long, new each time, and in no
// error text even if the provider repeats it.
func (s Suite) password(t *testing.T, c Create) {
	seen := map[string]bool{}
	for range 3 {
		b := s.benchOn(t, c.Healthy, nil)
		if _, err := b.create(t.Context(), s, c.Changes, false); err != nil {
			t.Fatalf("a healthy provider: %v", err)
		}
		for _, call := range b.seen() {
			if c.Makes(call) {
				p := c.Password(call)
				if len(p) < minPassword || seen[p] {
					t.Errorf("the generated password is short or not new (%d characters)", len(p))
				}
				seen[p] = true
			}
		}
	}
	if s.ErrorBody != nil {
		s.passwordInError(t, c)
	}
}

func (s Suite) passwordInError(t *testing.T, c Create) {
	t.Helper()
	var password string
	healthy := func() func(Call) Reply {
		next := c.Healthy()
		return func(call Call) Reply {
			if !c.Makes(call) {
				return next(call)
			}
			password = c.Password(call)
			return Reply{Status: http.StatusBadRequest, Body: s.ErrorBody("not strong: " + password)}
		}
	}
	_, err := s.benchOn(t, healthy, nil).create(t.Context(), s, c.Changes, false)
	if err == nil {
		t.Fatal("got a success, want a failure")
	}
	f := Failure(t, err)
	s.Secrets = append(slices.Clone(s.Secrets), password)
	s.checkSecrets(t, f)
}
