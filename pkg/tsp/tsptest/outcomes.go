package tsptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp/httpcall"
)

// Outcome is a class of provider answers that an adapter must tell apart.
type Outcome string

// The outcomes that a provider may have an answer of its own for.
const (
	// Unauthorized: the credential is refused; a fresh one may help.
	Unauthorized Outcome = "unauthorized"
	// Forbidden: the credential may not do this.
	Forbidden Outcome = "forbidden"
	// BadRequest: the provider does not take the write as it is.
	BadRequest Outcome = "bad request"
	// NotFound: the provider does not know the user.
	NotFound Outcome = "not found"
	// Conflict: the write collides with another object.
	Conflict Outcome = "conflict"
	// RateLimited: too many calls.
	RateLimited Outcome = "rate limited"
	// ServerFault: the provider failed.
	ServerFault Outcome = "server fault"
	// OtherUser: a success that names another user.
	OtherUser Outcome = "other user"
)

// want is what a failure must say.
type want struct {
	kind       operation.ErrorType
	retryable  bool
	refresh    bool
	retryAfter [2]time.Duration // at least, at most
}

var (
	again   = want{kind: operation.ErrorTSP, retryable: true}
	refused = want{kind: operation.ErrorValidation}
	denied  = want{kind: operation.ErrorAuth}
	renew   = want{kind: operation.ErrorAuth, refresh: true}
	lost    = want{kind: operation.ErrorNetwork, retryable: true}
)

// byOutcome is what each outcome of a provider's own answer must become.
var byOutcome = map[Outcome]want{
	Unauthorized: renew, Forbidden: denied, BadRequest: refused, NotFound: refused,
	Conflict: refused, RateLimited: again, ServerFault: again, OtherUser: again,
}

func waits(d time.Duration) want {
	w := again
	w.retryAfter = [2]time.Duration{d, d}
	return w
}

type row struct {
	name  string
	reply Reply
	want  want
	// message must be in the detail, page must not.
	message, page string
}

const page = "planted page of a proxy"

func (s Suite) rows() []row {
	after := func(v string) map[string]string { return map[string]string{"Retry-After": v} }
	soon := again
	soon.retryAfter = [2]time.Duration{90 * time.Second, 120 * time.Second}
	date := time.Now().Add(2 * time.Minute).UTC().Format(http.TimeFormat)
	rows := []row{
		{name: "200 empty", want: again},
		{name: "200 not JSON", reply: Reply{Body: page}, want: again, page: page},
		{name: "200 empty object", reply: Reply{Body: `{}`}, want: again},
		{name: "200 null", reply: Reply{Body: `null`}, want: again},
		{name: "200 list", reply: Reply{Body: `[]`}, want: again},
		{name: "200 cut off", reply: Reply{Body: `{"data":{"id":`}, want: again},
		{name: "503 with wait", reply: Reply{Status: 503, Header: after("3"), Body: page}, want: waits(3 * time.Second), page: page},
		{name: "429 whole", reply: Reply{Status: 429, Header: after("58")}, want: waits(58 * time.Second)},
		{name: "429 fractional", reply: Reply{Status: 429, Header: after("0.5")}, want: waits(500 * time.Millisecond)},
		{name: "429 date", reply: Reply{Status: 429, Header: after(date)}, want: soon},
		{name: "429 garbage", reply: Reply{Status: 429, Header: after("soon")}, want: again},
		{name: "429 without wait", reply: Reply{Status: 429}, want: again},
	}
	for _, status := range []int{500, 502, 503, 504, 408, 425} {
		rows = append(rows, row{name: fmt.Sprint(status), reply: Reply{Status: status, Body: page}, want: again, page: page})
	}
	for status, w := range map[int]want{401: renew, 403: denied, 400: refused, 404: refused, 409: refused, 422: refused} {
		rows = append(rows, s.clientError(status, w),
			row{name: fmt.Sprintf("%d text", status), reply: Reply{Status: status, Body: page}, want: w, page: page})
	}
	return append(rows, s.ownRows()...)
}

func (s Suite) clientError(status int, w want) row {
	r := row{name: fmt.Sprint(status), reply: Reply{Status: status}, want: w}
	if s.ErrorBody != nil {
		r.message = "the planted reason"
		r.reply.Body = s.ErrorBody(r.message)
	}
	return r
}

func (s Suite) ownRows() []row {
	var rows []row
	if s.Answer == nil {
		return nil
	}
	for outcome, w := range byOutcome {
		reply, ok := s.Answer(outcome)
		if !ok {
			continue
		}
		d := httpcall.RetryAfter(reply.Header["Retry-After"], time.Now())
		w.retryAfter = [2]time.Duration{d, d}
		rows = append(rows, row{name: "own " + string(outcome), reply: reply, want: w})
	}
	return rows
}

func (s Suite) outcomes(t *testing.T) {
	good := s.bench(t, nil)
	result, err := good.update(t.Context(), s, s.Changes)
	if err != nil {
		t.Fatalf("a healthy provider: %v", err)
	}
	if result.StatusCode < 200 || result.StatusCode > 299 {
		t.Errorf("status of a success: got %d", result.StatusCode)
	}
	s.checkHeader(t, result.Header)
	steps := len(good.seen())
	if steps == 0 {
		t.Fatal("the write made no call")
	}
	for step := range steps {
		for _, r := range s.rows() {
			t.Run(fmt.Sprintf("call %d/%s", step+1, r.name), func(t *testing.T) {
				t.Parallel()
				s.playReply(t, r, step)
			})
		}
		t.Run(fmt.Sprintf("call %d/redirect", step+1), func(t *testing.T) { t.Parallel(); s.playRedirect(t, step) })
		t.Run(fmt.Sprintf("call %d/reset", step+1), func(t *testing.T) { t.Parallel(); s.playReset(t, step) })
		t.Run(fmt.Sprintf("call %d/hang", step+1), func(t *testing.T) { t.Parallel(); s.playHang(t, step) })
		t.Run(fmt.Sprintf("call %d/cancel", step+1), func(t *testing.T) { t.Parallel(); s.playCancel(t, step) })
		t.Run(fmt.Sprintf("call %d/too large", step+1), func(t *testing.T) { t.Parallel(); s.playLarge(t, step) })
	}
}

func (s Suite) playReply(t *testing.T, r row, step int) {
	f := s.play(t.Context(), t, step, func(w http.ResponseWriter, _ *http.Request) { r.reply.write(w) }, r.want)
	if want := max(r.reply.Status, http.StatusOK); f.StatusCode != want {
		t.Errorf("status: got %d, want %d", f.StatusCode, want)
	}
	s.checkHeader(t, f.Header)
	if r.message != "" && !strings.Contains(f.Detail, r.message) {
		t.Errorf("detail %q does not hold the provider's message", f.Detail)
	}
	if r.page != "" && strings.Contains(f.Detail, r.page) {
		t.Errorf("detail %q holds a raw page", f.Detail)
	}
}

func (s Suite) playRedirect(t *testing.T, step int) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed: %s %s", r.Method, r.RequestURI)
	}))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		reply := Reply{Status: status, Header: map[string]string{"Location": other.URL + "/moved"}}
		f := s.play(t.Context(), t, step, func(w http.ResponseWriter, _ *http.Request) { reply.write(w) },
			want{kind: operation.ErrorTSP})
		if f.StatusCode != status {
			t.Errorf("status: got %d, want %d", f.StatusCode, status)
		}
	}
}

func (s Suite) playReset(t *testing.T, step int) {
	s.play(t.Context(), t, step, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}, lost)
}

func (s Suite) playHang(t *testing.T, step int) {
	ctx := &expiring{Context: t.Context(), done: make(chan struct{})}
	f := s.play(ctx, t, step, func(_ http.ResponseWriter, r *http.Request) {
		close(ctx.done)
		<-r.Context().Done()
	}, lost)
	if !errors.Is(f, context.DeadlineExceeded) {
		t.Errorf("cause of a call without answer: got %v", f.Err)
	}
}

func (s Suite) playCancel(t *testing.T, step int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := s.play(ctx, t, step, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}, lost)
	if !errors.Is(f, context.Canceled) {
		t.Errorf("cause of a cancelled call: got %v", f.Err)
	}
}

func (s Suite) playLarge(t *testing.T, step int) {
	reply := Reply{Body: `{"pad":"` + strings.Repeat("a", maxBody) + `"}`}
	s.play(t.Context(), t, step, func(w http.ResponseWriter, _ *http.Request) { reply.write(w) }, again)
}

// play makes the write with one call going wrong, and checks the failure and that
// the adapter stopped there.
func (s Suite) play(ctx context.Context, t *testing.T, step int, wrong http.HandlerFunc, w want) *operation.Failure {
	t.Helper()
	b := s.bench(t, func(rw http.ResponseWriter, r *http.Request, at int) bool {
		if at != step {
			return false
		}
		wrong(rw, r)
		return true
	})
	_, err := b.update(ctx, s, s.Changes)
	if err == nil {
		t.Fatal("got a success, want a failure")
	}
	f := Failure(t, err)
	if f.Type != w.kind || f.Retryable != w.retryable || f.Refresh != w.refresh {
		t.Errorf("got %s retryable %t refresh %t, want %s %t %t (%s)",
			f.Type, f.Retryable, f.Refresh, w.kind, w.retryable, w.refresh, f.Detail)
	}
	if f.RetryAfter < w.retryAfter[0] || f.RetryAfter > w.retryAfter[1] {
		t.Errorf("retry after: got %s, want %s to %s", f.RetryAfter, w.retryAfter[0], w.retryAfter[1])
	}
	if n := len(b.seen()); n != step+1 {
		t.Errorf("calls: got %d, want %d: an adapter stops at a failure", n, step+1)
	}
	s.checkSecrets(t, f)
	return f
}

func (s Suite) checkSecrets(t *testing.T, f *operation.Failure) {
	t.Helper()
	text := f.Detail + fmt.Sprintf("%+v %v", f.Header, f)
	for err := error(f); err != nil; err = errors.Unwrap(err) {
		text += " " + err.Error()
	}
	for _, secret := range s.Secrets {
		if secret != "" && strings.Contains(text, secret) {
			t.Error("a credential is in the text of the failure")
		}
	}
}

func (s Suite) checkHeader(t *testing.T, h map[string]string) {
	t.Helper()
	if h["X-Request-Id"] != "req-1" {
		t.Errorf("header: got %v, want the request id kept", h)
	}
	for name, value := range h {
		if strings.Contains(value, "planted") {
			t.Errorf("header %s must not be kept", name)
		}
	}
}

// expiring is a context whose deadline passes when done is closed, so that a
// deadline can be tested without waiting for a clock.
type expiring struct {
	context.Context
	done chan struct{}
}

// Done is closed when the deadline passes.
func (e *expiring) Done() <-chan struct{} { return e.done }

// Err is context.DeadlineExceeded once the deadline has passed.
func (e *expiring) Err() error {
	select {
	case <-e.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
