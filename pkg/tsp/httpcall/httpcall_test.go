package httpcall_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/tsp/httpcall"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func failure(t *testing.T, err error) *operation.Failure {
	t.Helper()
	var f *operation.Failure
	require.ErrorAs(t, err, &f)
	return f
}

// texts gives everything that an error can print.
func texts(err error) string {
	var all strings.Builder
	for ; err != nil; err = errors.Unwrap(err) {
		all.WriteString(err.Error() + "\n")
	}
	return all.String()
}

func TestDo_SendsTheRequestAndKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != `{"a":1}` || r.Method != http.MethodPatch || r.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("request: %s %v %s (%v)", r.Method, r.Header, body, err)
		}
		if r.UserAgent() != "Writeback" {
			t.Errorf("user agent: %q", r.UserAgent())
		}
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, "taken")
	})
	answer, err := httpcall.New(httpcall.Config{}).Do(t.Context(), httpcall.Request{
		What: "test: call", Method: http.MethodPatch, URL: url,
		Header: http.Header{"Authorization": {"Bearer t"}}, Body: []byte(`{"a":1}`),
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusConflict, answer.Status)
	require.False(t, answer.OK())
	require.Equal(t, "taken", string(answer.Body))
	require.Equal(t, "2s", answer.RetryAfter.String())
}

// It is no fault of the network, and no later call fares better.
func TestDo_CredentialThatCannotBeSent(t *testing.T) {
	t.Parallel()
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("called with %q", r.Header) })
	for _, token := range []string{"planted\n", "planted\r\nX-Other: 1", "pla\x00nted", "planted\x7f"} {
		_, err := httpcall.New(httpcall.Config{}).Do(t.Context(), httpcall.Request{
			What: "test: call", Method: http.MethodGet, URL: url, Header: http.Header{"Authorization": {"Bearer " + token}},
		})
		f := failure(t, err)
		require.Equal(t, operation.ErrorAuth, f.Type)
		require.False(t, f.Retryable)
		require.False(t, f.Refresh)
		require.Contains(t, f.Detail, "test: call: not sent: a credential")
		require.NotContains(t, texts(err), "planted")
	}
}

func TestDo_KeepsOnlyAllowedHeaders(t *testing.T) {
	t.Parallel()
	kept := map[string]string{
		"X-Request-Id": strings.Repeat("é", 200), "Request-Id": "r", "X-Correlation-Id": "c", "Retry-After": "1", "Date": "d",
		"Ratelimit": "1", "Ratelimit-Policy": "2", "Ratelimit-Limit": "3", "Ratelimit-Remaining": "4", "Ratelimit-Reset": "5",
		"X-Ratelimit-Limit": "6", "X-Ratelimit-Remaining": "7", "X-Ratelimit-Reset": "8",
		"X-Rate-Limit-Limit": "9", "X-Rate-Limit-Remaining": "10", "X-Rate-Limit-Reset": "11",
	}
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range kept {
			w.Header().Set(strings.ToLower(name), value)
		}
		for name, value := range map[string]string{
			"Set-Cookie": "session=s", "Server": "x", "Location": "/l", "Authorization": "a", "Www-Authenticate": "w",
		} {
			w.Header().Set(name, value)
		}
	})
	answer, err := httpcall.New(httpcall.Config{}).Do(t.Context(), httpcall.Request{Method: http.MethodGet, URL: url})
	require.NoError(t, err)
	kept["X-Request-Id"] = strings.Repeat("é", 128)
	require.Equal(t, kept, answer.Header)
}

func TestDo_RedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("followed with %s, authorization %q", r.Method, r.Header.Get("Authorization"))
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other)
			w.WriteHeader(status)
		})
		_, err := httpcall.New(httpcall.Config{}).Do(t.Context(), httpcall.Request{
			What: "test: call", Method: http.MethodPut, URL: url, Header: http.Header{"Authorization": {"secret"}}, Body: []byte("{}"),
		})
		f := failure(t, err)
		require.Equal(t, operation.ErrorTSP, f.Type)
		require.False(t, f.Retryable)
		require.Equal(t, status, f.StatusCode)
		require.NotContains(t, texts(err), other)
	}
}

func TestDo_AnswerIsCapped(t *testing.T) {
	t.Parallel()
	const limit = 1000
	for _, tt := range []struct {
		size        int
		whole, fits bool
	}{
		{limit, false, true}, {limit + 1, false, false}, {50 * limit, false, false},
		{limit + 1, true, true}, {16 * limit, true, true}, {16*limit + 1, true, false},
	} {
		size, fits := tt.size, tt.fits
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("a", size)) })
		answer, err := httpcall.New(httpcall.Config{MaxBody: limit}).Do(t.Context(), httpcall.Request{
			What: "test: call", Method: http.MethodGet, URL: url, Whole: tt.whole,
		})
		if fits {
			require.NoError(t, err)
			require.Len(t, answer.Body, size)
			continue
		}
		f := failure(t, err)
		require.Equal(t, operation.ErrorTSP, f.Type)
		require.True(t, f.Retryable)
		require.Equal(t, http.StatusOK, f.StatusCode)
	}
}

// expiring is a context whose deadline passes when done is closed.
type expiring struct {
	context.Context
	done chan struct{}
}

func (e *expiring) Done() <-chan struct{} { return e.done }

func (e *expiring) Err() error {
	select {
	case <-e.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestDo_DeadlineAndCancelAreToldApart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		ctx    func() (context.Context, func())
		cause  error
		detail string
	}{
		"deadline": {
			ctx: func() (context.Context, func()) {
				e := &expiring{Context: context.Background(), done: make(chan struct{})}
				return e, func() { close(e.done) }
			},
			cause: context.DeadlineExceeded, detail: "test: call: no answer in time",
		},
		"cancel": {
			ctx: func() (context.Context, func()) {
				ctx, cancel := context.WithCancel(context.Background())
				return ctx, cancel
			},
			cause: context.Canceled, detail: "test: call: the call was broken off",
		},
		"deadline with a cause": {
			ctx: func() (context.Context, func()) {
				ctx, cancel := context.WithTimeoutCause(context.Background(), 200*time.Millisecond, errors.New("over"))
				t.Cleanup(cancel)
				return ctx, func() {}
			},
			cause: context.DeadlineExceeded, detail: "test: call: no answer in time",
		},
		"cancel with a cause": {
			ctx: func() (context.Context, func()) {
				ctx, cancel := context.WithCancelCause(context.Background())
				return ctx, func() { cancel(errors.New("stopping")) }
			},
			cause: context.Canceled, detail: "test: call: the call was broken off",
		},
	}
	for name, tt := range tests {
		for _, partly := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ctx, end := tt.ctx()
				url := serve(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Request-Id", "r")
					if partly {
						_, _ = io.WriteString(w, "the beginning")
						_ = http.NewResponseController(w).Flush()
					}
					end()
					<-r.Context().Done()
				})
				_, err := httpcall.New(httpcall.Config{}).Do(ctx, httpcall.Request{What: "test: call", Method: http.MethodGet, URL: url})
				f := failure(t, err)
				require.Equal(t, operation.ErrorNetwork, f.Type)
				require.True(t, f.Retryable)
				require.ErrorIs(t, err, tt.cause)
				require.Equal(t, tt.detail, f.Detail)
			})
		}
	}
}

func TestDo_RefusalThatIsCutOffIsARefusal(t *testing.T) {
	t.Parallel()
	cut := func(status int) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "58")
			w.Header().Set("Content-Length", "500")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"message":"slow`)
		})
	}
	do := func(status int) (httpcall.Answer, error) {
		return httpcall.New(httpcall.Config{}).Do(t.Context(), httpcall.Request{What: "test: call", Method: http.MethodPost, URL: cut(status)})
	}
	for _, status := range []int{401, 429, 503} {
		answer, err := do(status)
		require.NoError(t, err, status)
		require.Equal(t, status, answer.Status)
		require.Equal(t, 58*time.Second, answer.RetryAfter)
		require.Equal(t, `{"message":"slow`, string(answer.Body))
	}
	_, err := do(200)
	f := failure(t, err)
	require.Equal(t, operation.ErrorNetwork, f.Type, "a success must be whole to say what was written")
	require.Equal(t, 200, f.StatusCode)
	_, err = do(302)
	require.Equal(t, operation.ErrorTSP, failure(t, err).Type)
}

// A refused credential is renewed and a wrong write is not repeated, however long the page
// is that says so.
func TestDo_RefusalThatIsTooLongIsARefusal(t *testing.T) {
	t.Parallel()
	const limit = 1000
	for _, status := range []int{400, 401, 403, 429, 503} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "58")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.Repeat("a", 50*limit))
		})
		answer, err := httpcall.New(httpcall.Config{MaxBody: limit}).Do(t.Context(), httpcall.Request{
			What: "test: call", Method: http.MethodPost, URL: url,
		})
		require.NoError(t, err, status)
		require.Equal(t, status, answer.Status)
		require.Equal(t, 58*time.Second, answer.RetryAfter)
		require.Len(t, answer.Body, limit)
	}
}

func TestDo_ErrorsHideURLAndSecrets(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := listener.Addr().String()
	require.NoError(t, listener.Close())
	reset := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		_ = conn.Close()
	})
	tests := map[string]struct {
		url  string
		kind operation.ErrorType
	}{
		"refused":     {url: "http://" + closed, kind: operation.ErrorNetwork},
		"reset":       {url: reset, kind: operation.ErrorNetwork},
		"not TLS":     {url: "https" + strings.TrimPrefix(reset, "http"), kind: operation.ErrorNetwork},
		"unbuildable": {url: "http://[::1", kind: operation.ErrorValidation},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := httpcall.New(httpcall.Config{}).Do(t.Context(), httpcall.Request{
				What: "test: call", Method: http.MethodPost, URL: tt.url + "/planted-path?q=planted-query",
				Header: http.Header{"Authorization": {"planted-token"}}, Body: []byte("planted-body"),
			})
			f := failure(t, err)
			require.Equal(t, tt.kind, f.Type)
			require.Equal(t, tt.kind == operation.ErrorNetwork, f.Retryable)
			require.NotContains(t, texts(err), "planted")
		})
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	type class struct {
		kind               operation.ErrorType
		retryable, refresh bool
	}
	special := map[int]class{
		401: {kind: operation.ErrorAuth, refresh: true}, 403: {kind: operation.ErrorAuth},
		408: {kind: operation.ErrorTSP, retryable: true}, 425: {kind: operation.ErrorTSP, retryable: true},
		429: {kind: operation.ErrorTSP, retryable: true},
	}
	for status := 400; status < 600; status++ {
		want, ok := special[status]
		switch {
		case ok:
		case status >= 500:
			want = class{kind: operation.ErrorTSP, retryable: true}
		default:
			want = class{kind: operation.ErrorValidation}
		}
		a := httpcall.Answer{Status: status, RetryAfter: 7, Header: map[string]string{"Date": "d"}}
		f := a.Classify("test: call", "why\n so")
		require.Equal(t, want, class{f.Type, f.Retryable, f.Refresh}, status)
		require.Equal(t, status, f.StatusCode)
		require.Equal(t, a.RetryAfter, f.RetryAfter)
		require.Equal(t, a.Header, f.Header)
		require.True(t, strings.HasSuffix(f.Detail, ": why so"), f.Detail)
	}
}

func TestGarbled(t *testing.T) {
	t.Parallel()
	f := httpcall.Answer{Status: 200}.Garbled("test: call")
	require.Equal(t, operation.ErrorTSP, f.Type)
	require.True(t, f.Retryable)
	require.Equal(t, 200, f.StatusCode)
}

// broken is a transport whose every call fails, or whose answer tells that it was closed.
type broken struct {
	err    error
	closed *bool
}

func (b broken) RoundTrip(*http.Request) (*http.Response, error) {
	if b.err != nil {
		return nil, b.err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: b}, nil
}

func (b broken) Read(p []byte) (int, error) { return len(p), nil }

func (b broken) Close() error { *b.closed = true; return nil }

func TestDo_SaysWhatWentWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{Err: "no such host", Name: "planted.example", IsNotFound: true}, "the provider's host name could not be resolved"},
		{&net.DNSError{Err: "slow", Name: "planted.example", IsTimeout: true}, "no answer in time"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "no answer in time"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "the connection failed"},
		{&url.Error{Op: "Get", URL: "https://planted.example/x", Err: io.ErrUnexpectedEOF}, "the connection failed"},
	} {
		_, err := httpcall.New(httpcall.Config{Transport: broken{err: tt.err}}).Do(t.Context(), httpcall.Request{What: "test: call", URL: "https://h"})
		f := failure(t, err)
		require.Equal(t, operation.ErrorNetwork, f.Type)
		require.True(t, f.Retryable)
		require.Equal(t, "test: call: "+tt.want, f.Detail)
		require.NotContains(t, texts(f.Err), "https://planted")
	}
	closed := false
	_, err := httpcall.New(httpcall.Config{Transport: broken{closed: &closed}}).Do(t.Context(), httpcall.Request{What: "test: call", URL: "https://h"})
	require.Contains(t, failure(t, err).Detail, "larger than allowed")
	require.True(t, closed, "its connection would be kept for ever")
}

func TestShort_KeepsWhatFits(t *testing.T) {
	t.Parallel()
	require.Equal(t, strings.Repeat("x", 300), httpcall.Short(strings.Repeat("x", 300)))
	require.Equal(t, strings.Repeat("x", 297)+"...", httpcall.Short(strings.Repeat("x", 301)))
}

func FuzzShort(f *testing.F) {
	for _, seed := range []string{"", "plain", " a \n\t b ", strings.Repeat("é", 400), "\xff\xfe", "\x1b[2J\u202e", strings.Repeat("x", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := httpcall.Short(s)
		unseen := strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) })
		if !utf8.ValidString(got) || len(got) > 300 || unseen {
			t.Errorf("Short(%q) = %q", s, got)
		}
	})
}
