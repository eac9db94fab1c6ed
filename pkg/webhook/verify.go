package webhook

import (
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far a request's time may be from ours, either way. It bounds
// how long somebody can use a request that they have overheard.
const Tolerance = 5 * time.Minute

// What Verify may say.
var (
	// ErrNoSecret says that no secret was given; nothing can be right then.
	ErrNoSecret = errors.New("webhook: no secret given")
	// ErrUnsigned says that the request carries no complete signature.
	ErrUnsigned = errors.New("webhook: the request is not signed")
	// ErrSignature says that no secret makes the signature: another sender, another
	// secret, or a changed body.
	ErrSignature = errors.New("webhook: the signature does not match")
	// ErrExpired says that the signature is right but too old, or from the future.
	ErrExpired = errors.New("webhook: the request's time is not near now")
	// ErrEnvelope says that the signature is right and the body no envelope.
	ErrEnvelope = errors.New("webhook: the body is not an event")
)

// Verify checks the request's signature with each secret and gives the event. body
// is the body after decompression, byte for byte; see ReadBody. While a secret is
// being changed, give the new one and the old one.
//
// Both schemes that Writeback signs with are understood, X-Catena-Signature and
// Standard Webhooks; one that matches is enough. Comparisons take the same time
// wherever they differ.
func Verify(secrets []string, header http.Header, body []byte, now time.Time) (Event, error) {
	keys := make([]string, 0, len(secrets))
	for _, s := range secrets {
		if s != "" {
			keys = append(keys, s)
		}
	}
	if len(keys) == 0 {
		return Event{}, ErrNoSecret
	}
	worst := ErrUnsigned
	for _, scheme := range []func([]string, http.Header, []byte, time.Time) error{catena, standard} {
		err := scheme(keys, header, body, now)
		if err == nil {
			return decode(body)
		}
		if !errors.Is(err, ErrUnsigned) {
			worst = err
		}
	}
	return Event{}, worst
}

func catena(secrets []string, h http.Header, body []byte, now time.Time) error {
	given, text := h.Get(HeaderSignature), h.Get(HeaderTimestamp)
	at, err := time.Parse(time.RFC3339Nano, text)
	if given == "" || err != nil {
		return ErrUnsigned
	}
	matches := false
	for _, s := range secrets {
		matches = hmac.Equal([]byte(given), []byte(Sign(s, text, body))) || matches
	}
	return verdict(matches, at, now)
}

func standard(secrets []string, h http.Header, body []byte, now time.Time) error {
	id, given := h.Get(HeaderStandardID), h.Get(HeaderStandardSignature)
	seconds, err := strconv.ParseInt(h.Get(HeaderStandardTimestamp), 10, 64)
	if id == "" || given == "" || err != nil {
		return ErrUnsigned
	}
	at := time.Unix(seconds, 0)
	matches := false
	for _, one := range strings.Fields(given) {
		for _, s := range secrets {
			matches = hmac.Equal([]byte(one), []byte(SignStandard(s, id, at, body))) || matches
		}
	}
	return verdict(matches, at, now)
}

func verdict(matches bool, at, now time.Time) error {
	switch away := now.Sub(at).Abs(); {
	case !matches:
		return ErrSignature
	case away > Tolerance:
		return ErrExpired
	}
	return nil
}

func decode(body []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if e.ID == "" || e.EventName == "" || e.WebhookID == "" || e.Data == nil {
		return Event{}, fmt.Errorf("%w: incomplete", ErrEnvelope)
	}
	return e, nil
}
