package tsptest

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// List describes how an adapter lists users.
type List struct {
	// SourceIDs are those of the users that the healthy provider has.
	SourceIDs []string
	// Healthy makes a provider without faults that has the users on several pages.
	// Nil: Suite.Healthy.
	Healthy func() func(Call) Reply
	// OnePage says that the provider gives all users at once.
	OnePage bool
	// Empty makes a provider that has no users.
	Empty func() func(Call) Reply
	// Fine names the rows of outcomes that are a right answer to a list.
	Fine []string
}

// maxPages is where a walk is taken to be endless.
const maxPages = 50

// list checks a tsp.Lister.
func (s Suite) list(t *testing.T) {
	made := makeProvider(s.List.Healthy).or(s.Healthy)
	cursors := s.walk(t, made, s.List.SourceIDs)
	if !s.List.OnePage && len(cursors) < 2 {
		t.Error("the walk has one page; give several, or say OnePage")
	}
	t.Run("again", func(t *testing.T) { t.Parallel(); s.resumes(t, made, cursors) })
	if s.List.Empty == nil {
		t.Error("the suite has no empty provider to list")
	} else {
		t.Run("empty", func(t *testing.T) { t.Parallel(); s.walk(t, s.List.Empty, nil) })
	}
	t.Run("bad cursor", func(t *testing.T) { t.Parallel(); s.badCursor(t, made) })
	t.Run("budget", func(t *testing.T) { t.Parallel(); s.budget(t, s.listing(made, "")) })
	t.Run("first page", func(t *testing.T) { t.Parallel(); s.outcomes(t, s.listing(made, "")) })
	if last := cursors[len(cursors)-1]; last != "" {
		t.Run("last page", func(t *testing.T) { t.Parallel(); s.outcomes(t, s.listing(made, last)) })
	}
}

func (b *bench) page(ctx context.Context, s Suite, cursor string) (tsp.UserPage, error) {
	return b.provider.(tsp.Lister).ListUsers(ctx, s.Connection, cursor)
}

// listing is the trip of one page.
func (s Suite) listing(made makeProvider, cursor string) trip {
	return trip{
		healthy: made,
		act: func(ctx context.Context, b *bench) (tsp.Result, error) {
			page, err := b.page(ctx, s, cursor)
			return page.Result, err
		},
		fine: func(_ int, row string) bool {
			return row == "own "+string(OtherUser) || slices.Contains(s.List.Fine, row)
		},
	}
}

// walk lists to the end, checks that the users are exactly those expected, and
// gives the cursor of each page.
func (s Suite) walk(t *testing.T, made makeProvider, want []string) (cursors []string) {
	t.Helper()
	b := s.benchOn(t, made, nil)
	var got []string
	for cursor := ""; ; {
		page, err := b.page(t.Context(), s, cursor)
		if err != nil {
			t.Fatalf("page %d of a healthy provider: %v", len(cursors)+1, err)
		}
		cursors = append(cursors, cursor)
		if page.Total != 0 && page.Total != len(want) {
			t.Errorf("page %d: total %d, want %d or none", len(cursors), page.Total, len(want))
		}
		for _, u := range page.Users {
			got = append(got, u.SourceID)
			checkFields(t, u.Fields)
		}
		if page.Next == "" {
			break
		}
		if slices.Contains(cursors, page.Next) || len(cursors) == maxPages {
			t.Fatalf("the walk does not end: page %d", len(cursors))
		}
		cursor = page.Next
	}
	want = slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	return cursors
}

// resumes checks that a cursor is all that a page needs: another process, at
// another address, gets the same users with it.
func (s Suite) resumes(t *testing.T, made makeProvider, cursors []string) {
	ids := func(b *bench, cursor string) (ids []string, next string) {
		page, err := b.page(t.Context(), s, cursor)
		if err != nil {
			t.Fatalf("a healthy provider: %v", err)
		}
		for _, u := range page.Users {
			ids = append(ids, u.SourceID)
		}
		return ids, page.Next
	}
	walking := s.benchOn(t, made, nil)
	for _, cursor := range cursors {
		want, next := ids(walking, cursor)
		got, after := ids(s.benchOn(t, made, nil), cursor)
		if !slices.Equal(got, want) || next != after {
			t.Errorf("cursor %q: got %v then %q, want %v then %q", cursor, got, after, want, next)
		}
	}
}

// badCursor checks that what is no cursor is refused or harmless.
func (s Suite) badCursor(t *testing.T, made makeProvider) {
	for _, cursor := range []string{"\x00", "no cursor of ours", "%zz", "-1", "999999999999999999999", "../../x?y=z&w"} {
		b := s.benchOn(t, made, nil)
		if _, err := b.page(t.Context(), s, cursor); err != nil {
			s.checkSecrets(t, Failure(t, err))
		}
		for _, call := range b.seen() {
			if s.Writes(call) {
				t.Errorf("cursor %q: a list wrote: %s %s", cursor, call.Method, call.Path)
			}
		}
	}
}

// checkFields checks that fields are ours and look as the contract says.
func checkFields(t *testing.T, fields operation.Changes) {
	t.Helper()
	for f, v := range fields {
		spec, ok := operation.SpecOf(f)
		if !ok {
			t.Errorf("%q is no field of a user", f)
			continue
		}
		if !v.IsNull() && !suits(spec, v) {
			t.Errorf("%s: %v is no value of it", f, v.Any())
		}
	}
}

func suits(spec operation.Spec, v operation.Value) bool {
	switch spec.Kind {
	case operation.KindBool:
		_, ok := v.Any().(bool)
		return ok
	case operation.KindEnum:
		return slices.Contains(spec.Enum, v.Text())
	case operation.KindDate:
		_, err := time.Parse(time.DateOnly, v.Text())
		return err == nil
	case operation.KindAlpha3:
		return len(v.Text()) == 3
	default:
		return v.Text() != ""
	}
}

// Pages makes a provider for a list: it gives the body that key names for a call,
// and 404 where there is none.
func Pages(key func(Call) string, bodies map[string]string) func() func(Call) Reply {
	return func() func(Call) Reply {
		return func(c Call) Reply {
			body, ok := bodies[key(c)]
			if !ok {
				return Reply{Status: http.StatusNotFound}
			}
			return Reply{Body: body}
		}
	}
}
