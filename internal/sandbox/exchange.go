package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Wire is one provider's side of the line.
type Wire interface {
	// Accept finds out whose call it is and what it wants, without doing it. It
	// fills the exchange's call fields.
	Accept(x *Exchange) Action
	// Refusal is the provider's usual body for a status, for faults that give none.
	Refusal(x *Exchange, status int) Answer
}

// Action carries a call out.
type Action func() Answer

// Class tells what faults a call is open to. The zero class is open to none.
type Class uint8

// The classes.
const (
	ClassNone Class = iota
	ClassWrite
	ClassRead
	ClassLogin
)

// Exchange is one call on its way through.
type Exchange struct {
	// Request is the call; its body is read.
	Request  *http.Request
	provider string
	// Path below the provider's root, still escaped.
	Path string
	// Body of the request.
	Body []byte
	// RequestID is a made-up id, for providers that answer one.
	RequestID string

	// Filled by Wire.Accept: the call's class and name ("patch driver"), whose
	// credential it has, which user it is about, and how the caller wrote its id.
	Class   Class
	Name    string
	Account *Account
	User    *User
	UserRef string

	// Filled by the action: the keys dropped in silence, and the numbers of the write
	// and of the refresh, from 1.
	Ignored   []string
	Applied   int64
	Refreshes int64
}

// Ignore notes a key that the provider drops in silence.
func (x *Exchange) Ignore(key string) { x.Ignored = append(x.Ignored, key) }

// Answer is what goes back. The zero answer cuts the connection without a word.
type Answer struct {
	Status int
	Header map[string]string
	Body   []byte
	reset  bool // cut with RST
}

// With gives the answer with one more header.
func (a Answer) With(name, value string) Answer {
	header := make(map[string]string, len(a.Header)+1)
	for k, v := range a.Header {
		header[k] = v
	}
	header[name] = value
	a.Header = header
	return a
}

// JSONAnswer is a value as JSON.
func JSONAnswer(status int, v any) Answer {
	b, err := json.Marshal(v)
	if err != nil {
		return TextAnswer(http.StatusInternalServerError, "the sandbox could not write its answer")
	}
	return Answer{Status: status, Body: b, Header: map[string]string{"Content-Type": "application/json"}}
}

// TextAnswer is a line of plain text.
func TextAnswer(status int, text string) Answer {
	return Answer{Status: status, Body: []byte(text + "\n"), Header: map[string]string{"Content-Type": "text/plain; charset=utf-8"}}
}

// serve is the whole trip of one call: read, identify, log, fault or act, answer.
func (s *Sandbox) serve(w http.ResponseWriter, r *http.Request, provider string, wire Wire) {
	start := time.Now()
	x := &Exchange{
		Request: r, provider: provider,
		Path:      strings.TrimPrefix(r.URL.EscapedPath(), "/"+provider),
		RequestID: fmt.Sprintf("%08x", uint32(s.calls.Add(1)*2654435761)),
	}
	var act Action
	body, err := readBody(r)
	x.Body = body
	switch {
	case errors.Is(err, errBodyTooLarge):
		act = func() Answer { return wire.Refusal(x, http.StatusRequestEntityTooLarge) }
	case err != nil:
		act = func() Answer { return Answer{} }
	default:
		act = wire.Accept(x)
	}
	entry := s.journal.arrive(x)
	fault, hit := s.faults.take(x)
	var a Answer
	if hit {
		a = s.faulty(x, wire, act, fault)
	} else {
		a = act()
	}
	s.journal.finish(entry, outcome{
		status: a.Status, fault: hit, applied: x.Applied, ignored: x.Ignored, refreshes: x.Refreshes,
		duration: time.Since(start),
	})
	deliver(w, a)
}

var errBodyTooLarge = errors.New("sandbox: the request body is larger than allowed")

func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, errBodyTooLarge
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(r.Body, maxBody+1)); err != nil {
		return nil, err
	}
	if buf.Len() > maxBody {
		return nil, errBodyTooLarge
	}
	return buf.Bytes(), nil
}

func deliver(w http.ResponseWriter, a Answer) {
	if a.Status == 0 {
		cut(w, a.reset)
		return
	}
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // the client may be gone
}

// cut closes the connection; with rst the peer sees a reset.
func cut(w http.ResponseWriter, rst bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 has no other way
	}
	if tcp, ok := conn.(*net.TCPConn); ok && rst {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// IsJSON reports whether the call says that its body is JSON.
func (x *Exchange) IsJSON() bool {
	kind, _, err := mime.ParseMediaType(x.Request.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// DecodeJSON reads exactly one JSON value, with numbers as they were written.
func DecodeJSON(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the JSON value")
	}
	return nil
}

// Bearer gives the token of an Authorization header, or "".
func Bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Repeated reports whether a parameter is given more than once.
func Repeated(form url.Values) bool {
	for _, values := range form {
		if len(values) > 1 {
			return true
		}
	}
	return false
}
