// Package tsptest holds what adapter tests share: a strict fixture server for
// one adapter's wire calls, and a conformance suite that every adapter passes.
// It is for tests only and knows no provider.
package tsptest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"sync"
	"testing"

	"writeback/pkg/operation"
)

// Exchange is one call that the provider expects and the answer it gives.
type Exchange struct {
	Method string
	// Path is the request target as sent: escaped, with its query.
	Path string
	// Header are request headers that must have exactly these values. Others are
	// not looked at.
	Header map[string]string
	// Body is the expected JSON, compared decoded. Empty: no body may be sent.
	Body string

	// Status of the answer. Zero: 200.
	Status int
	// AnswerHeader are response headers.
	AnswerHeader map[string]string
	// Answer is the response body.
	Answer string
}

// Server answers a fixed list of exchanges in order.
type Server struct {
	// URL is the base URL for the adapter's configuration.
	URL string

	t    testing.TB
	mu   sync.Mutex
	left []Exchange
}

// NewServer starts a server for the test. A call that is not the next expected
// one fails the test, and so does an exchange that is left over at its end.
func NewServer(t testing.TB, exchanges ...Exchange) *Server {
	t.Helper()
	s := &Server{t: t, left: exchanges}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = server.URL
	t.Cleanup(func() {
		server.Close()
		for _, e := range s.left {
			t.Errorf("expected call was not made: %s %s", e.Method, e.Path)
		}
	})
	return s
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("read request body: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) == 0 {
		s.t.Errorf("unexpected call: %s %s %s", r.Method, r.RequestURI, body)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	want := s.left[0]
	s.left = s.left[1:]
	s.check(want, r, body)
	for name, value := range want.AnswerHeader {
		w.Header().Set(name, value)
	}
	if want.Status != 0 {
		w.WriteHeader(want.Status)
	}
	_, _ = io.WriteString(w, want.Answer)
}

func (s *Server) check(want Exchange, r *http.Request, body []byte) {
	if r.Method != want.Method || r.RequestURI != want.Path {
		s.t.Errorf("call: got %s %s, want %s %s", r.Method, r.RequestURI, want.Method, want.Path)
	}
	for name, value := range want.Header {
		if got := r.Header.Get(name); got != value {
			s.t.Errorf("%s %s: header %s: got %q, want %q", r.Method, r.RequestURI, name, got, value)
		}
	}
	if want.Body == "" {
		if len(body) > 0 {
			s.t.Errorf("%s %s: got body %s, want none", r.Method, r.RequestURI, body)
		}
		return
	}
	if !sameJSON(s.t, body, []byte(want.Body)) {
		s.t.Errorf("%s %s: body\n got %s\nwant %s", r.Method, r.RequestURI, body, want.Body)
	}
}

func sameJSON(t testing.TB, got, want []byte) bool {
	var g, w any
	if err := json.Unmarshal(want, &w); err != nil {
		t.Errorf("the expected body is not JSON: %v", err)
		return false
	}
	return json.Unmarshal(got, &g) == nil && reflect.DeepEqual(g, w)
}

// File reads a fixture, for example "testdata/driver.json".
func File(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("fixture: %v", err)
	}
	return string(b)
}

// Failure gives err as the failure that an adapter promises to return.
func Failure(t testing.TB, err error) *operation.Failure {
	t.Helper()
	var f *operation.Failure
	if !errors.As(err, &f) {
		t.Fatalf("got error %v, want an *operation.Failure", err)
	}
	return f
}
