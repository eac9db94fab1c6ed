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
	"strings"
	"time"
)

// wire is one provider's side of the line.
type wire interface {
	// accept finds out whose call it is and what it wants, without doing it. It
	// fills the exchange's call fields.
	accept(x *exchange) action
	// refusal is the provider's usual body for a status, for faults that give none.
	refusal(x *exchange, status int) answer
}

// action carries a call out.
type action func() answer

// class tells what faults a call is open to. The zero class is open to none.
type class uint8

const (
	classNone class = iota
	classWrite
	classRead
	classLogin
)

// exchange is one call on its way through.
type exchange struct {
	r         *http.Request
	provider  string
	path      string // below the provider's root, still escaped
	body      []byte
	requestID string

	// filled by wire.accept
	class   class
	name    string // for example "patch driver"
	account *account
	user    *user
	userRef string // as the caller wrote it

	// filled by the action
	ignored   []string
	applied   int64
	refreshes int64
}

// ignore notes a key that the provider drops in silence.
func (x *exchange) ignore(key string) { x.ignored = append(x.ignored, key) }

// answer is what goes back. The zero answer cuts the connection without a word.
type answer struct {
	status int
	header map[string]string
	body   []byte
	reset  bool // cut with RST
}

// with gives the answer with one more header.
func (a answer) with(name, value string) answer {
	header := make(map[string]string, len(a.header)+1)
	for k, v := range a.header {
		header[k] = v
	}
	header[name] = value
	a.header = header
	return a
}

func jsonAnswer(status int, v any) answer {
	b, err := json.Marshal(v)
	if err != nil {
		return textAnswer(http.StatusInternalServerError, "the sandbox could not write its answer")
	}
	return answer{status: status, body: b, header: map[string]string{"Content-Type": "application/json"}}
}

func textAnswer(status int, text string) answer {
	return answer{status: status, body: []byte(text + "\n"), header: map[string]string{"Content-Type": "text/plain; charset=utf-8"}}
}

// serve is the whole trip of one call: read, identify, log, fault or act, answer.
func (s *Sandbox) serve(w http.ResponseWriter, r *http.Request, provider string, wire wire) {
	start := time.Now()
	x := &exchange{
		r: r, provider: provider,
		path:      strings.TrimPrefix(r.URL.EscapedPath(), "/"+provider),
		requestID: fmt.Sprintf("%08x", uint32(s.calls.Add(1)*2654435761)),
	}
	var act action
	body, err := readBody(r)
	x.body = body
	switch {
	case errors.Is(err, errBodyTooLarge):
		act = func() answer { return wire.refusal(x, http.StatusRequestEntityTooLarge) }
	case err != nil:
		act = func() answer { return answer{} }
	default:
		act = wire.accept(x)
	}
	entry := s.journal.arrive(x)
	fault, hit := s.faults.take(x)
	var a answer
	if hit {
		a = s.faulty(x, wire, act, fault)
	} else {
		a = act()
	}
	s.journal.finish(entry, outcome{
		status: a.status, fault: hit, applied: x.applied, ignored: x.ignored, refreshes: x.refreshes,
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

func deliver(w http.ResponseWriter, a answer) {
	if a.status == 0 {
		cut(w, a.reset)
		return
	}
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
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

// isJSON reports whether the call says that its body is JSON.
func (x *exchange) isJSON() bool {
	kind, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// decodeJSON reads exactly one JSON value, with numbers as they were written.
func decodeJSON(body []byte, into any) error {
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

// bearer gives the token of an Authorization header, or "".
func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
