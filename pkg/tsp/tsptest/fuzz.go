package tsptest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Fuzz plays any bytes as the answers to all that an adapter can do. What it makes of them is
// its own; but it ends, in a result of the contract's form or in a failure that is fit for a
// log. The seeds are the package's fixtures, and those given. Of the suite it needs New,
// Connection, SourceID and Changes, and Create.Changes where users are created.
func Fuzz(f *testing.F, s Suite, seeds ...string) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatalf("fixture: %v", err)
		}
		seeds = append(seeds, string(b))
	}
	for _, first := range append(seeds, "", "[]", "{}", "null") {
		f.Add(first, first, http.StatusOK)
		f.Add(first, first, http.StatusForbidden)
		for _, rest := range seeds {
			f.Add(first, rest, http.StatusOK)
		}
	}
	s = s.withDefaults()
	f.Fuzz(func(t *testing.T, first, rest string, status int) {
		if status < 200 || status > 599 {
			status = http.StatusOK
		}
		for i, act := range s.abilities() {
			p := s.New(httpcall.New(httpcall.Config{Transport: &replies{status: status, bodies: []string{first, rest}}}), "http://fuzz.example.com")
			if err := act(t, p); err != nil {
				s.fitForLog(t, fmt.Sprintf("ability %d", i), err)
			}
		}
	})
}

// replies answers the first call with the first body, and each later one with the last.
type replies struct {
	status int
	bodies []string
}

// RoundTrip gives the next answer.
func (r *replies) RoundTrip(*http.Request) (*http.Response, error) {
	body := r.bodies[0]
	if len(r.bodies) > 1 {
		r.bodies = r.bodies[1:]
	}
	return &http.Response{StatusCode: r.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString(body))}, nil
}

// abilities are what an adapter may do, each with the check of its result.
func (s Suite) abilities() []func(*testing.T, tsp.Provider) error {
	named := func(t *testing.T, id string) {
		t.Helper()
		if !tsp.IsSourceID(id) {
			t.Errorf("%q is no id of a user", id)
		}
	}
	return []func(*testing.T, tsp.Provider) error{
		func(t *testing.T, p tsp.Provider) error {
			_, err := p.UpdateUser(t.Context(), s.Connection, tsp.UserUpdate{SourceID: s.SourceID, Changes: s.Changes})
			return err
		},
		func(t *testing.T, p tsp.Provider) error {
			fields, err := read(t.Context(), p, s)
			checkFields(t, fields)
			return err
		},
		func(t *testing.T, p tsp.Provider) error {
			lister, ok := p.(tsp.Lister)
			if !ok {
				return nil
			}
			page, err := lister.ListUsers(t.Context(), s.Connection, "")
			for _, u := range page.Users {
				named(t, u.SourceID)
				checkFields(t, u.Fields)
			}
			return err
		},
		func(t *testing.T, p tsp.Provider) error { return s.makes(t, p, false, named) },
		func(t *testing.T, p tsp.Provider) error { return s.makes(t, p, true, named) },
		func(t *testing.T, p tsp.Provider) error {
			if refresher, ok := p.(tsp.Refresher); ok {
				_, err := refresher.Refresh(t.Context(), s.Connection)
				return err
			}
			return nil
		},
	}
}

func read(ctx context.Context, p tsp.Provider, s Suite) (operation.Changes, error) {
	if reader, ok := p.(tsp.Reader); ok {
		return reader.ReadUser(ctx, s.Connection, s.SourceID)
	}
	return nil, nil
}

func (s Suite) makes(t *testing.T, p tsp.Provider, again bool, named func(*testing.T, string)) error {
	t.Helper()
	creator, ok := p.(tsp.Creator)
	if !ok {
		return nil
	}
	made, err := creator.CreateUser(t.Context(), s.Connection, tsp.UserCreate{Changes: s.Create.Changes, Repeat: again})
	if err == nil {
		named(t, made.SourceID)
	}
	return err
}
