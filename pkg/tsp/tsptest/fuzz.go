package tsptest

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Fuzz plays any bytes as the answers to all that an adapter does: it updates, reads, lists
// and creates, and may refresh. It ends in a result of the contract's form, or in a failure
// that is fit for a log. The seeds are the package's fixtures, and those given. Of the suite
// it needs New, Connection, SourceID, Changes and Create.Changes.
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
		for name, act := range s.abilities() {
			p := s.New(httpcall.New(httpcall.Config{Transport: &replies{status: status, bodies: []string{first, rest}}}), "http://fuzz.example.com")
			if err := act(t, p); err != nil {
				s.fitForLog(t, name, err)
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

// abilities are what an adapter may do, by name, each with the check of its result.
func (s Suite) abilities() map[string]func(*testing.T, tsp.Provider) error {
	return map[string]func(*testing.T, tsp.Provider) error{
		"update": func(t *testing.T, p tsp.Provider) error {
			_, err := p.UpdateUser(t.Context(), s.Connection, tsp.UserUpdate{SourceID: s.SourceID, Changes: s.Changes})
			return err
		},
		"read": func(t *testing.T, p tsp.Provider) error {
			fields, err := p.(tsp.Reader).ReadUser(t.Context(), s.Connection, s.SourceID)
			checkFields(t, fields)
			return err
		},
		"list": func(t *testing.T, p tsp.Provider) error {
			page, err := p.(tsp.Lister).ListUsers(t.Context(), s.Connection, "")
			for _, u := range page.Users {
				checkFields(t, u.Fields)
			}
			return err
		},
		"create":       func(t *testing.T, p tsp.Provider) error { return s.makes(t, p, false) },
		"create again": func(t *testing.T, p tsp.Provider) error { return s.makes(t, p, true) },
		"refresh": func(t *testing.T, p tsp.Provider) error {
			refresher, ok := p.(tsp.Refresher)
			if !ok {
				return nil
			}
			_, err := refresher.Refresh(t.Context(), s.Connection)
			return err
		},
	}
}

func (s Suite) makes(t *testing.T, p tsp.Provider, again bool) error {
	t.Helper()
	made, err := p.(tsp.Creator).CreateUser(t.Context(), s.Connection, tsp.UserCreate{Changes: s.Create.Changes, Repeat: again})
	if err == nil && !tsp.IsSourceID(made.SourceID) {
		t.Errorf("%q is no id of a user", made.SourceID)
	}
	return err
}
