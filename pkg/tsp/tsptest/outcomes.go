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

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// trip is one way into an adapter, against one provider.
type trip struct {
	// healthy makes the provider. Nil: Suite.Healthy.
	healthy makeProvider
	act     func(ctx context.Context, b *bench) (tsp.Result, error)
	// fine reports that a row at a call is no failure but a right answer. Nil: none.
	fine func(step int, row string) bool
	// adjust changes what a failure must say. Nil: nothing.
	adjust func(want) want
	// bare trips give no header and status with their success.
	bare bool
}

// updating is the trip of the suite's update.
func (s Suite) updating() trip {
	return trip{act: func(ctx context.Context, b *bench) (tsp.Result, error) { return b.update(ctx, s, s.Changes) }}
}

// outcomes plays everything that may go wrong at each call of the trip.
func (s Suite) outcomes(t *testing.T, tr trip) {
	good := s.benchOn(t, tr.healthy.or(s.Healthy), nil)
	result, err := tr.act(t.Context(), good)
	if err != nil {
		t.Fatalf("a healthy provider: %v", err)
	}
	if !tr.bare {
		if result.StatusCode < 200 || result.StatusCode > 299 {
			t.Errorf("status of a success: got %d", result.StatusCode)
		}
		s.checkHeader(t, result.Header)
	}
	calls := good.seen()
	if len(calls) == 0 {
		t.Fatal("no call was made")
	}
	fine := func(step int, row string) bool {
		return tr.fine != nil && tr.fine(step, row) || s.Fine != nil && s.Fine(calls[step], row)
	}
	for step := range calls {
		run := func(name string, play func(*testing.T)) {
			if !fine(step, name) {
				t.Run(fmt.Sprintf("call %d/%s", step+1, name), func(t *testing.T) { t.Parallel(); play(t) })
			}
		}
		for _, r := range s.rows() {
			run(r.name, func(t *testing.T) { s.playReply(t, tr, r, step) })
		}
		run("redirect", func(t *testing.T) { s.playRedirect(t, tr, step) })
		run("reset", func(t *testing.T) { s.playReset(t, tr, step) })
		run("hang", func(t *testing.T) { s.playHang(t, tr, step) })
		run("cancel", func(t *testing.T) { s.playCancel(t, tr, step) })
		run("too large", func(t *testing.T) { s.playLarge(t, tr, step) })
	}
	t.Run("odd answers", func(t *testing.T) { t.Parallel(); s.odd(t, tr, len(calls)) })
}

func (s Suite) playReply(t *testing.T, tr trip, r row, step int) {
	f := s.play(t.Context(), t, tr, step, func(w http.ResponseWriter, _ *http.Request) { r.reply.write(w) }, r.want)
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

func (s Suite) playRedirect(t *testing.T, tr trip, step int) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed: %s %s", r.Method, r.RequestURI)
	}))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		reply := Reply{Status: status, Header: map[string]string{"Location": other.URL + "/moved"}}
		f := s.play(t.Context(), t, tr, step, func(w http.ResponseWriter, _ *http.Request) { reply.write(w) },
			want{kind: operation.ErrorTSP})
		if f.StatusCode != status {
			t.Errorf("status: got %d, want %d", f.StatusCode, status)
		}
	}
}

func (s Suite) playReset(t *testing.T, tr trip, step int) {
	_ = s.play(t.Context(), t, tr, step, func(w http.ResponseWriter, _ *http.Request) { cut(t, w) }, lost)
}

// cut resets the connection.
func cut(t *testing.T, w http.ResponseWriter) {
	t.Helper()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Errorf("hijack: %v", err)
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (s Suite) playHang(t *testing.T, tr trip, step int) {
	ctx := &expiring{Context: t.Context(), done: make(chan struct{})}
	f := s.play(ctx, t, tr, step, func(_ http.ResponseWriter, r *http.Request) {
		close(ctx.done)
		<-r.Context().Done()
	}, lost)
	if !errors.Is(f, context.DeadlineExceeded) {
		t.Errorf("cause of a call without answer: got %v", f.Err)
	}
}

func (s Suite) playCancel(t *testing.T, tr trip, step int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := s.play(ctx, t, tr, step, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}, lost)
	if !errors.Is(f, context.Canceled) {
		t.Errorf("cause of a cancelled call: got %v", f.Err)
	}
}

func (s Suite) playLarge(t *testing.T, tr trip, step int) {
	reply := Reply{Body: `{"pad":"` + strings.Repeat("a", maxBody) + `"}`}
	_ = s.play(t.Context(), t, tr, step, func(w http.ResponseWriter, _ *http.Request) { reply.write(w) }, again)
}

// play makes the trip with one call going wrong, and checks the failure and that
// the adapter stopped there.
func (s Suite) play(ctx context.Context, t *testing.T, tr trip, step int, wrong http.HandlerFunc, w want) *operation.Failure {
	t.Helper()
	b := s.benchOn(t, tr.healthy.or(s.Healthy), func(rw http.ResponseWriter, r *http.Request, at int) bool {
		if at != step {
			return false
		}
		wrong(rw, r)
		return true
	})
	if tr.adjust != nil {
		w = tr.adjust(w)
	}
	_, err := tr.act(ctx, b)
	if err == nil {
		t.Fatal("got a success, want a failure")
	}
	f := Failure(t, err)
	if w.kind != "" && f.Type != w.kind || f.Retryable != w.retryable || f.Refresh != w.refresh {
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
