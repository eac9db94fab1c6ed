package webhook_test

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"writeback/pkg/webhook"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

var (
	sent = time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC)
	body = []byte(`{"version":"1.0","id":"0197","event_name":"resource_operation.succeeded","webhook_id":"0198",` +
		`"timestamp":"2026-05-03T10:00:00Z","delivery_attempt":1,"data":[{"id":"1"}]}`)
)

// signed is a request's header with both schemes.
func signed(secret string, body []byte, at time.Time) http.Header {
	stamp := at.Format(time.RFC3339)
	h := http.Header{}
	h.Set(webhook.HeaderTimestamp, stamp)
	h.Set(webhook.HeaderSignature, webhook.Sign(secret, stamp, body))
	h.Set(webhook.HeaderStandardID, "0197")
	h.Set(webhook.HeaderStandardTimestamp, fmt.Sprint(at.Unix()))
	h.Set(webhook.HeaderStandardSignature, webhook.SignStandard(secret, "0197", at, body))
	return h
}

func only(h http.Header, names ...string) http.Header {
	out := http.Header{}
	for _, n := range names {
		out.Set(n, h.Get(n))
	}
	return out
}

func TestVerify(t *testing.T) {
	t.Parallel()
	all := signed(secret, body, sent)
	catena := only(all, webhook.HeaderTimestamp, webhook.HeaderSignature)
	std := only(all, webhook.HeaderStandardID, webhook.HeaderStandardTimestamp, webhook.HeaderStandardSignature)
	several := std.Clone()
	several.Set(webhook.HeaderStandardSignature, "v1,AAAA v2,x "+std.Get(webhook.HeaderStandardSignature))
	turned := std.Clone()
	turned.Set(webhook.HeaderStandardSignature, std.Get(webhook.HeaderStandardSignature)+" v1,AAAA")
	garbage := catena.Clone()
	garbage.Set(webhook.HeaderTimestamp, "now")
	other := []byte(strings.Replace(string(body), `"1"`, `"2"`, 1))
	for name, c := range map[string]struct {
		secrets []string
		header  http.Header
		body    []byte
		now     time.Time
		want    error
	}{
		"both":                   {[]string{secret}, all, body, sent, nil},
		"catena alone":           {[]string{secret}, catena, body, sent, nil},
		"standard alone":         {[]string{secret}, std, body, sent, nil},
		"one of several":         {[]string{secret}, several, body, sent, nil},
		"one of several, first":  {[]string{secret}, turned, body, sent, nil},
		"old secret still there": {[]string{"new-secret-of-mine", secret}, all, body, sent, nil},
		"new secret already":     {[]string{secret, "old-secret-of-mine"}, catena, body, sent, nil},
		"standard, new secret":   {[]string{secret, "old-secret-of-mine"}, std, body, sent, nil},
		"five minutes late":      {[]string{secret}, all, body, sent.Add(webhook.Tolerance), nil},
		"too late":               {[]string{secret}, all, body, sent.Add(webhook.Tolerance + time.Second), webhook.ErrExpired},
		"too early":              {[]string{secret}, catena, body, sent.Add(-webhook.Tolerance - time.Second), webhook.ErrExpired},
		"standard too late":      {[]string{secret}, std, body, sent.Add(time.Hour), webhook.ErrExpired},
		"other secret":           {[]string{"another-secret"}, all, body, sent, webhook.ErrSignature},
		"other secret, too late": {[]string{"another-secret"}, all, body, sent.Add(time.Hour), webhook.ErrSignature},
		"other body":             {[]string{secret}, all, other, sent, webhook.ErrSignature},
		"no signature":           {[]string{secret}, http.Header{}, body, sent, webhook.ErrUnsigned},
		"no catena signature":    {[]string{secret}, only(all, webhook.HeaderTimestamp), body, sent, webhook.ErrUnsigned},
		"no standard id":         {[]string{secret}, only(all, webhook.HeaderStandardTimestamp, webhook.HeaderStandardSignature), body, sent, webhook.ErrUnsigned},
		"no standard time":       {[]string{secret}, only(all, webhook.HeaderStandardID, webhook.HeaderStandardSignature), body, sent, webhook.ErrUnsigned},
		"no standard signature":  {[]string{secret}, only(all, webhook.HeaderStandardID, webhook.HeaderStandardTimestamp), body, sent, webhook.ErrUnsigned},
		"no time":                {[]string{secret}, garbage, body, sent, webhook.ErrUnsigned},
		"no secret":              {[]string{""}, all, body, sent, webhook.ErrNoSecret},
	} {
		e, err := webhook.Verify(c.secrets, c.header, c.body, c.now)
		if c.want != nil {
			require.ErrorIs(t, err, c.want, name)
			require.Zero(t, e, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, "resource_operation.succeeded", e.EventName, name)
		require.Equal(t, sent, e.Timestamp, name)
	}
	for _, text := range []string{
		`[]`, `{}`, `{"id":"1","event_name":"x","webhook_id":"w"}`, `{"id":"1","event_name":"x","data":[]}`,
		`{"id":"1","webhook_id":"w","data":[]}`, `{"event_name":"x","webhook_id":"w","data":[]}`,
	} {
		_, err := webhook.Verify([]string{secret}, signed(secret, []byte(text), sent), []byte(text), sent)
		require.ErrorIs(t, err, webhook.ErrEnvelope, text)
	}
}

// TestSign_ByItsDescription computes the contract's signature from its description
// alone: base64 of the HMAC-SHA256, keyed with the secret's bytes, over timestamp, a
// dot and the body.
func TestSign_ByItsDescription(t *testing.T) {
	t.Parallel()
	for _, key := range []string{secret, "plain secret ü"} {
		h := hmac.New(sha256.New, []byte(key))
		_, _ = io.WriteString(h, "2026-05-03T10:00:00+00:00"+"."+string(body))
		want := base64.StdEncoding.EncodeToString(h.Sum(nil))
		require.Len(t, want, 44)
		require.Equal(t, want, webhook.Sign(key, "2026-05-03T10:00:00+00:00", body))
	}
}

// TestSignStandard_TheirLibraryAgrees has the library of Standard Webhooks verify.
func TestSignStandard_TheirLibraryAgrees(t *testing.T) {
	t.Parallel()
	now := time.Now()
	wh, err := standard.NewWebhook(secret)
	require.NoError(t, err)
	require.NoError(t, wh.Verify(body, signed(secret, body, now)))
	require.Error(t, wh.Verify(append([]byte(" "), body...), signed(secret, body, now)))
	raw, err := standard.NewWebhookRaw([]byte("a plain secret"))
	require.NoError(t, err)
	require.NoError(t, raw.Verify(body, signed("a plain secret", body, now)))
	for _, secret := range []string{"whsec_", "whsec_no base64", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		raw, err := standard.NewWebhookRaw([]byte(secret))
		require.NoError(t, err)
		require.NoError(t, raw.Verify(body, signed(secret, body, now)), "the key is the secret's own bytes: %s", secret)
	}
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(bytes.Repeat([]byte("x"), 1000))
	require.NoError(t, z.Close())
	request := func(b []byte, encoding string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(b))
		r.Header.Set("Content-Encoding", encoding)
		return r
	}
	got, err := webhook.ReadBody(request(packed.Bytes(), "gzip"), 1000)
	require.NoError(t, err)
	require.Len(t, got, 1000)
	_, err = webhook.ReadBody(request(packed.Bytes(), "gzip"), 999)
	require.ErrorIs(t, err, webhook.ErrTooLarge, "it is the size after decompression that counts")
	_, err = webhook.ReadBody(request(make([]byte, 11), ""), 10)
	require.ErrorIs(t, err, webhook.ErrTooLarge)
	for name, b := range map[string][]byte{"no gzip": []byte("no gzip"), "cut off": packed.Bytes()[:packed.Len()-9]} {
		_, err = webhook.ReadBody(request(b, "gzip"), 1000)
		require.Error(t, err, name)
	}
}

// counted counts what is read of a body.
type counted struct {
	io.Reader
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// TestReadBody_StopsAtItsBound: what is sent may be made so that all of it would fill the memory,
// or never end.
func TestReadBody_StopsAtItsBound(t *testing.T) {
	t.Parallel()
	const most = 100_000
	var much, empty bytes.Buffer
	z := gzip.NewWriter(&much)
	_, err := z.Write(make([]byte, 100*most))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.Less(t, much.Len(), most)
	require.NoError(t, gzip.NewWriter(&empty).Close())
	nothing := bytes.Repeat(empty.Bytes(), 10*most/empty.Len())
	for name, b := range map[string][]byte{"unpacks to much": much.Bytes(), "unpacks to nothing": nothing, "is not packed": make([]byte, 10*most)} {
		body := &counted{Reader: bytes.NewReader(b)}
		r := httptest.NewRequest(http.MethodPost, "/", body)
		if name != "is not packed" {
			r.Header.Set("Content-Encoding", "GZIP") // its case is no difference
		}
		_, err := webhook.ReadBody(r, most)
		require.ErrorIs(t, err, webhook.ErrTooLarge, name)
		require.Less(t, body.read, min(len(b), 2*most), name)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("v1,AAAA", "2026-05-03T10:00:00Z", "1", []byte("{}"))
	f.Fuzz(func(t *testing.T, signature, stamp, seconds string, body []byte) {
		h := http.Header{
			webhook.HeaderSignature: {signature}, webhook.HeaderTimestamp: {stamp},
			"Webhook-Id": {"1"}, "Webhook-Timestamp": {seconds}, "Webhook-Signature": {signature},
		}
		if _, err := webhook.Verify([]string{secret}, h, body, sent); err == nil {
			t.Fatal("a signature was guessed")
		}
	})
}
