// Package httpcall makes one HTTP call to a provider, safely: a total deadline,
// a capped body, no redirects, an allow-list of response headers, and transport
// faults turned into operation.Failure. Adapters share it; it knows no provider.
package httpcall

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"writeback/pkg/operation"
)

const (
	// DefaultMaxBody is how much of an answer is read.
	DefaultMaxBody = 1 << 20
	// wholeFactor is how many times as much is read of a list that has no pages.
	wholeFactor = 16
)

// Config of a Client. The zero value is usable.
type Config struct {
	// MaxBody caps the bytes read of an answer, 16 times as many of a list without pages;
	// see Request.Whole. Zero: DefaultMaxBody. A longer success is a "tsp" failure, a
	// longer refusal is cut off.
	MaxBody int64
	// Transport makes the connections. Nil: a private one with bounded idle
	// connections.
	Transport http.RoundTripper
	// UserAgent of each call. Empty: "Writeback".
	UserAgent string
	// Measure is told of each call: its status, 0 without an answer, and the time until
	// the head of the answer was there. Nil: nobody is.
	Measure func(ctx context.Context, method string, status int, took time.Duration)
}

// Client makes calls. Safe for concurrent use.
type Client struct {
	transport http.RoundTripper
	carry     propagation.TextMapPropagator
	measure   func(ctx context.Context, method string, status int, took time.Duration)
	maxBody   int64
	agent     []string
}

// New makes a client.
func New(cfg Config) *Client {
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "Writeback"
	}
	if cfg.Transport == nil {
		cfg.Transport = newTransport()
	}
	if cfg.Measure == nil {
		cfg.Measure = func(context.Context, string, int, time.Duration) {}
	}
	return &Client{
		transport: cfg.Transport,
		carry:     otel.GetTextMapPropagator(),
		measure:   cfg.Measure,
		maxBody:   cfg.MaxBody,
		agent:     []string{cfg.UserAgent},
	}
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Request is one call.
type Request struct {
	// What is done, for errors: "samsara: patch driver".
	What   string
	Method string
	URL    string
	// Header of the call, which adds to it: it belongs to this one.
	Header http.Header
	// Body is sent as it is. Nil: none.
	Body []byte
	// Write says that the call changes something at the provider. A dry run
	// collects it instead of sending it; see WithDraft.
	Write bool
	// Hidden are values that a dry run masks in this call beside the credentials: a
	// password that was made for a new user.
	Hidden []string
	// Whole says that the answer is a list of everybody: the provider has no pages.
	Whole bool
	// Want names response headers that the adapter itself decides by; they are given
	// as Answer.Wanted and reach no log.
	Want []string
}

// Answer is what the provider said. A status that is not 2xx is an answer too.
type Answer struct {
	Status int
	// Header holds the allow-listed headers, by canonical name.
	Header map[string]string
	// Wanted holds the headers of Request.Want that the answer has.
	Wanted map[string]string
	// RetryAfter is the parsed Retry-After, or without one Spent. Zero: none, past or
	// garbage.
	RetryAfter time.Duration
	// Spent is how long the rate headers of the answer ask to wait because the
	// budget is used up, as a 429 says by itself. Zero: it is not, or there are no such
	// headers.
	Spent time.Duration
	Body  []byte
}

// Do makes the call. ctx must carry the deadline of the attempt. The error is an
// *operation.Failure: "network" for DNS, connect, TLS, reset and timeout, "tsp"
// for a redirect or a success over the cap. Of an answer that is not 2xx the body may
// be cut off. In a dry run a write is not sent, and the error is ErrDraft.
func (c *Client) Do(ctx context.Context, r Request) (Answer, error) {
	if r.Write && Drafting(ctx, r) {
		return Answer{}, ErrDraft
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, &operation.Failure{
			Type: operation.ErrorValidation, Detail: r.What + ": the request could not be built", Err: redact(err),
		}
	}
	if r.Header != nil {
		if !sendable(r.Header) {
			return Answer{}, &operation.Failure{
				Type: operation.ErrorAuth, Detail: r.What + ": not sent: a credential of the connection has a line break or another control character",
			}
		}
		req.Header = r.Header
	}
	req.Header["User-Agent"] = c.agent
	if r.Write && r.Method == http.MethodGet && len(r.Body) == 0 {
		// The transport would repeat a GET that has no body on its own. A body that
		// turns out to be empty is sent as none and cannot be had again.
		req.Body, req.GetBody = io.NopCloser(strings.NewReader("")), nil
	}
	span := c.calling(ctx, req)
	defer span.End()
	began := time.Now()
	resp, err := c.transport.RoundTrip(req)
	now := time.Now()
	answered(span, resp, err)
	if err != nil {
		c.measure(ctx, r.Method, 0, now.Sub(began))
		return Answer{}, networkFailure(ctx, r.What, err)
	}
	c.measure(ctx, r.Method, resp.StatusCode, now.Sub(began))
	defer func() { _ = resp.Body.Close() }()
	answer := Answer{
		Status: resp.StatusCode,
		Header: allowed(resp.Header),
		Wanted: wanted(resp.Header, r.Want),
		Spent:  spent(resp, now),
	}
	answer.RetryAfter = cmp.Or(RetryAfter(resp.Header.Get("Retry-After"), now), answer.Spent)
	most := c.maxBody
	if r.Whole {
		most *= wholeFactor
	}
	answer.Body, err = read(resp, most)
	if err != nil && answer.OK() { // what is no success is told by its head
		f := networkFailure(ctx, r.What, err)
		f.StatusCode, f.Header = answer.Status, answer.Header
		return Answer{}, f
	}
	if int64(len(answer.Body)) > most {
		if answer.OK() {
			return Answer{}, answer.failure(operation.ErrorTSP, true, r.What+": the answer is larger than allowed")
		}
		answer.Body = answer.Body[:most]
	}
	if answer.Status >= 300 && answer.Status < 400 {
		return Answer{}, answer.failure(operation.ErrorTSP, false,
			fmt.Sprintf("%s: the provider redirected (%d); redirects are not followed", r.What, answer.Status))
	}
	return answer, nil
}

// sendable reports whether the values can stand in headers. A secret that was read from a
// file with a line break at its end cannot; the transport would call that a fault of the way.
func sendable(header http.Header) bool {
	for _, values := range header {
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == '\x7f' }) {
				return false
			}
		}
	}
	return true
}

// usualBody is how much of an announced answer gets its memory at once; what is longer
// gets it as it comes.
const usualBody = 16 << 10

// read gives the body, or one byte more than the cap.
func read(resp *http.Response, most int64) ([]byte, error) {
	var body bytes.Buffer
	body.Grow(int(min(max(resp.ContentLength, 0), usualBody)) + bytes.MinRead)
	_, err := body.ReadFrom(io.LimitReader(resp.Body, most+1))
	return body.Bytes(), err
}

// OK reports a 2xx.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

func (a Answer) failure(t operation.ErrorType, retryable bool, detail string) *operation.Failure {
	return &operation.Failure{
		Type: t, Retryable: retryable, StatusCode: a.Status, Header: a.Header,
		RetryAfter: a.RetryAfter, Detail: detail,
	}
}

// Garbled is the failure of a 2xx whose body does not parse or does not name the
// user: nothing is known to have been written, so it is tried again.
func (a Answer) Garbled(what string) *operation.Failure {
	return a.failure(operation.ErrorTSP, true, what+": the provider's answer was not understood")
}

// Classify turns a status that is not 2xx into a failure by the common table. The
// message is the provider's own short text; it is capped and may be empty.
func (a Answer) Classify(what, message string) *operation.Failure {
	detail := fmt.Sprintf("%s: the provider answered %d", what, a.Status)
	if m := Short(message); m != "" {
		detail += ": " + m
	}
	switch {
	case a.Status == http.StatusUnauthorized:
		f := a.failure(operation.ErrorAuth, false, detail)
		f.Refresh = true
		return f
	case a.Status == http.StatusForbidden:
		return a.failure(operation.ErrorAuth, false, detail)
	case a.Status == http.StatusTooManyRequests,
		a.Status == http.StatusRequestTimeout,
		a.Status == http.StatusTooEarly,
		a.Status >= 500:
		return a.failure(operation.ErrorTSP, true, detail)
	default:
		return a.failure(operation.ErrorValidation, false, detail)
	}
}

// Short makes a provider's text fit for an attempt log: one line, valid UTF-8, at
// most 300 bytes, and nobody's e-mail address or phone number in it; see Mask.
func Short(s string) string {
	s = Mask(strings.Join(strings.Fields(plain(s)), " "))
	if len(s) <= 300 {
		return s
	}
	return strings.ToValidUTF8(s[:297], "") + "..."
}

// networkFailure hides the URL of a transport error: its path and query may hold
// personal data, and its host is our configuration.
func networkFailure(ctx context.Context, what string, err error) *operation.Failure {
	err = redact(err)
	// The transport gives the cause of the context's end, which need not be its error.
	if ended := ctx.Err(); ended != nil && errors.Is(err, context.Cause(ctx)) && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	reason := "the connection failed"
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		reason = "no answer in time"
	case errors.Is(err, context.Canceled):
		reason = "the call was broken off"
	case errors.As(err, &dns):
		reason = "the provider's host name could not be resolved"
	}
	return &operation.Failure{Type: operation.ErrorNetwork, Retryable: true, Detail: what + ": " + reason, Err: err}
}

func redact(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
