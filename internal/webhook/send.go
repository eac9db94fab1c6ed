package webhook

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/internal/retryafter"
	"writeback/pkg/operation/redisstore"
	receive "writeback/pkg/webhook"
)

// SendTimeout is how long an endpoint has to answer.
const SendTimeout = 3 * time.Second

// drained is how much of an answer is read, and thrown away, so that the connection
// can be used again.
const drained = 16 << 10

// letter is one request to an endpoint.
type letter struct {
	subscription Subscription
	secrets      []string
	reference    Reference
	attempt      int
	// request is a new id for each attempt.
	request uuid.UUID
	body    []byte
}

// answer is what came of a send. Nothing of what the endpoint wrote is in it.
type answer struct {
	// code is the HTTP status. Zero: there was none.
	code int
	// retryAfter is how long the endpoint asked to be left alone. Zero: it did not, or
	// not in a way that can be read. asked says that it did.
	retryAfter time.Duration
	asked      bool
	// problem is a sentence for the partner, if there was no answer.
	problem string
	took    time.Duration
}

// silent reports whether the endpoint let a send wait without an answer: it held a slot for
// that time. One that cannot be reached at all says so at once.
func (a answer) silent() bool { return a.code == 0 && a.took >= SendTimeout/2 }

// reach is what the breaker of the endpoint's lane counts.
func (a answer) reach() redisstore.Reach {
	switch {
	case a.code != 0:
		return redisstore.Answered
	case a.silent():
		return redisstore.Unreached
	}
	return redisstore.Uncalled
}

// httpClient makes calls; see egress.Guard.
type httpClient interface {
	Do(r *http.Request) (*http.Response, error)
}

// timestampForm is RFC 3339 with a numeric offset.
const timestampForm = "2006-01-02T15:04:05.000000-07:00"

func (l letter) http(ctx context.Context, now time.Time) (*http.Request, error) {
	packed, err := pack(l.body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.subscription.URL, bytes.NewReader(packed))
	if err != nil {
		return nil, errors.New("webhook: the URL cannot be called")
	}
	stamp := now.UTC().Format(timestampForm)
	signatures := make([]string, 0, len(l.secrets))
	for _, s := range l.secrets {
		signatures = append(signatures, receive.SignStandard(s, l.reference.Message.String(), now, l.body))
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Content-Encoding": "gzip", "Accept": "application/json",
		"User-Agent":   "Catena-Webhook",
		"X-Event-Type": l.reference.Event, "X-Schema-Version": receive.Version, "X-Source": "catena-notifications",
		"X-Request-ID": l.request.String(), "X-Webhook-ID": l.subscription.ID.String(),
		"X-Delivery-Attempt":            strconv.Itoa(l.attempt),
		receive.HeaderTimestamp:         stamp,
		receive.HeaderSignature:         receive.Sign(l.secrets[0], stamp, l.body),
		receive.HeaderStandardID:        l.reference.Message.String(),
		receive.HeaderStandardTimestamp: strconv.FormatInt(now.Unix(), 10),
		receive.HeaderStandardSignature: strings.Join(signatures, " "),
	} {
		r.Header.Set(name, value)
	}
	return r, nil
}

func pack(body []byte) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(body); err != nil {
		return nil, fmt.Errorf("webhook: compress: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("webhook: compress: %w", err)
	}
	return out.Bytes(), nil
}

// post sends the letter once.
func post(ctx context.Context, client httpClient, l letter, now func() time.Time) answer {
	ctx, cancel := context.WithTimeout(ctx, SendTimeout)
	defer cancel()
	began := now()
	req, err := l.http(ctx, began)
	if err != nil {
		return answer{problem: "the request could not be made"}
	}
	ctx, span := calling(ctx, req)
	resp, err := client.Do(req.WithContext(ctx))
	took := now().Sub(began)
	if err != nil {
		called(span, 0)
		return answer{problem: problemOf(err), took: took}
	}
	called(span, resp.StatusCode)
	_, _ = io.CopyN(io.Discard, resp.Body, drained)
	_ = resp.Body.Close()
	return answer{
		code: resp.StatusCode, took: took,
		retryAfter: retryafter.Parse(resp.Header.Get("Retry-After"), began, longestRetryAfter), asked: len(resp.Header.Values("Retry-After")) > 0,
	}
}

// longestRetryAfter bounds how long an endpoint may ask to be left alone.
const longestRetryAfter = time.Hour

// refused is an error of which the client says that it never called.
type refused interface{ Refused() bool }

// problemOf says in a sentence of ours why there was no answer: the error itself may
// name addresses and hold what the endpoint sent.
func problemOf(err error) string {
	var no refused
	var timeout net.Error
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &no) && no.Refused(), errors.As(err, &dns) && dns.IsNotFound:
		// Told apart, they would tell which names there are in our own network.
		return "the endpoint's name was not found, or leads to an address that may not be called"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no answer within %s", SendTimeout)
	case errors.As(err, &dns):
		return "the endpoint's name could not be looked up"
	case errors.As(err, &certificate):
		return "the endpoint's certificate is not valid"
	default:
		return "the connection to the endpoint failed"
	}
}
