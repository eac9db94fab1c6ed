package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/egress"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	receive "writeback/pkg/webhook"
)

func TestHealth_Trips(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		h     Health
		trips bool
	}{
		{"nothing yet", Health{Average: 1}, false},
		{"few: nine in a row", Health{Deliveries: 9, FailedInARow: 9, Average: 0.8}, false},
		{"few: ten in a row", Health{Deliveries: 10, FailedInARow: 10, Average: 0.8}, true},
		{"few: bad rate but not in a row", Health{Deliveries: 19, Successes: 2, FailedInARow: 9, Average: 0.5}, false},
		{"some: 80 %", Health{Deliveries: 20, Successes: 16, FailedInARow: 4, Average: 0.9}, false},
		{"some: below 80 %", Health{Deliveries: 20, Successes: 15, Average: 0.9}, true},
		{"some: 49 at 79.6 %", Health{Deliveries: 49, Successes: 39, Average: 0.9}, true},
		{"some: good rate, ten in a row", Health{Deliveries: 49, Successes: 40, FailedInARow: 10, Average: 0.7}, false},
		{"many: average 95 %", Health{Deliveries: 50, Successes: 30, Average: 0.95}, false},
		{"many: below", Health{Deliveries: 50, Successes: 49, Average: 0.9499}, true},
		{"many: rate is not looked at", Health{Deliveries: 5000, Successes: 1000, FailedInARow: 2, Average: 0.96}, false},
	} {
		reason, trips := c.h.Trips()
		require.Equal(t, c.trips, trips, c.name)
		require.NotEmpty(t, reason, c.name)
	}
}

func TestGrace(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := Subscription{ChangedAt: now}
	require.True(t, graced(s, now.Add(15*time.Minute-time.Second)))
	require.False(t, graced(s, now.Add(15*time.Minute)))
	s.ActivatedAt = now.Add(20 * time.Minute)
	require.False(t, graced(s, now.Add(21*time.Minute)), "making it active gives no grace")
	require.Equal(t, s.ActivatedAt, s.Since())
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		name     string
		a        answer
		n        int
		s        Schedule
		left     time.Duration
		verdict  operation.Verdict
		counted  bool
		dead     bool
		from, to time.Duration
	}{
		{name: "200", a: answer{code: 200}, n: 1, s: Short, left: day, verdict: operation.Succeed, counted: true},
		{name: "202", a: answer{code: 202}, n: 4, s: Short, left: day, verdict: operation.Succeed, counted: true},
		{name: "301", a: answer{code: 301}, n: 1, s: Short, left: day, verdict: operation.Fail, counted: true},
		{name: "400", a: answer{code: 400}, n: 1, s: Short, left: day, verdict: operation.Fail, counted: true},
		{name: "404 long", a: answer{code: 404}, n: 1, s: Long, left: day, verdict: operation.Fail, counted: true},
		{name: "410", a: answer{code: 410}, n: 1, s: Short, left: day, verdict: operation.Fail, counted: true},
		{name: "429 alone", a: answer{code: 429}, n: 1, s: Short, left: day, verdict: operation.Fail, counted: true},
		{name: "429 with time", a: answer{code: 429, asked: true, retryAfter: 9 * time.Second}, n: 1, s: Short, left: day, verdict: operation.Again, dead: true, from: 560 * time.Millisecond, to: 840 * time.Millisecond},
		{name: "429 with an odd time", a: answer{code: 429, asked: true}, n: 1, s: Short, left: day, verdict: operation.Again, dead: true, from: 560 * time.Millisecond, to: 840 * time.Millisecond},
		{name: "429 to the end", a: answer{code: 429, asked: true}, n: 4, s: Short, left: day, verdict: operation.Fail, counted: true, dead: true},
		{name: "500 first", a: answer{code: 500}, n: 1, s: Short, left: day, verdict: operation.Again, dead: true, from: 560 * time.Millisecond, to: 840 * time.Millisecond},
		{name: "500 second", a: answer{code: 500}, n: 2, s: Short, left: day, verdict: operation.Again, dead: true, from: 1120 * time.Millisecond, to: 1680 * time.Millisecond},
		{name: "503 third", a: answer{code: 503}, n: 3, s: Short, left: day, verdict: operation.Again, dead: true, from: 2240 * time.Millisecond, to: 3360 * time.Millisecond},
		{name: "500 fourth", a: answer{code: 500}, n: 4, s: Short, left: day, verdict: operation.Fail, counted: true, dead: true},
		{name: "503 asks", a: answer{code: 503, retryAfter: time.Minute}, n: 1, s: Short, left: day, verdict: operation.Again, dead: true, from: 560 * time.Millisecond, to: 840 * time.Millisecond},
		{name: "503 asks for more than is left", a: answer{code: 503, retryAfter: time.Minute}, n: 1, s: Short, left: time.Minute, verdict: operation.Fail, counted: true, dead: true},
		{name: "no answer", a: answer{problem: "x"}, n: 1, s: Short, left: day, verdict: operation.Again, dead: true, from: 560 * time.Millisecond, to: 840 * time.Millisecond},
		{name: "long fourth", a: answer{code: 500}, n: 4, s: Long, left: day, verdict: operation.Again, counted: true, dead: true, from: 24 * time.Minute, to: 36 * time.Minute},
		{name: "long eighth", a: answer{code: 500}, n: 8, s: Long, left: day, verdict: operation.Again, dead: true, from: 4*time.Hour + 48*time.Minute, to: 7*time.Hour + 12*time.Minute},
		{name: "long ninth", a: answer{code: 500}, n: 9, s: Long, left: day, verdict: operation.Fail, dead: true},
		{name: "long third", a: answer{code: 500}, n: 3, s: Long, left: day, verdict: operation.Again, dead: true, from: 8 * time.Minute, to: 12 * time.Minute},
		{name: "long fifth, refused", a: answer{code: 400}, n: 5, s: Long, left: day, verdict: operation.Fail},
		{name: "long sixth, no time left", a: answer{code: 500}, n: 6, s: Long, left: time.Minute, verdict: operation.Fail, dead: true},
		{name: "long seventh arrives", a: answer{code: 200}, n: 7, s: Long, left: day, verdict: operation.Succeed, counted: true},
		{name: "deadline", a: answer{code: 500}, n: 1, s: Short, left: time.Millisecond, verdict: operation.Fail, counted: true, dead: true},
	} {
		for range 20 {
			v := decide(c.a, c.n, c.s, c.left)
			require.Equal(t, c.verdict, v.Verdict, c.name)
			require.Equal(t, c.counted, v.message, c.name)
			require.Equal(t, c.a.code == 410, v.gone, c.name)
			require.GreaterOrEqual(t, v.Delay, c.from, c.name)
			require.LessOrEqual(t, v.Delay, c.to, c.name)
			require.Equal(t, c.a.retryAfter, v.Block, c.name)
			if v.failure == nil {
				continue
			}
			require.NotEmpty(t, v.failure.Detail, c.name)
			ended := operation.Operation{Status: operation.Failed, Attempts: []operation.Attempt{{ErrorType: v.failure.Type}}}
			require.Equal(t, c.dead, dead(ended), c.name)
		}
	}
	require.True(t, dead(operation.Operation{Status: operation.Failed}), "a deadline before any send")
	require.True(t, dead(operation.Operation{Status: operation.Failed, Attempts: []operation.Attempt{{}}}), "a deadline's row has no type")
	var all time.Duration
	for _, d := range Delays(Short) {
		all += d
	}
	require.Equal(t, 4900*time.Millisecond, all)
	require.Len(t, Delays(Short), 3)
	a, err := Reference{Event: EventFailed}.delivery(Subscription{}, "")
	require.NoError(t, err)
	require.Less(t, len(Delays(Long)), a.MaxAttempts, "the schedule decides how many there are")
}

// TestSilent: only what holds a slot for long holds its lane back, and on the long schedule
// no number of it gives the endpoint up.
func TestSilent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		a      answer
		s      Schedule
		silent bool
		reach  redisstore.Reach
	}{
		{"no answer in time", answer{problem: "x", took: SendTimeout}, Short, true, redisstore.Unreached},
		{"nobody takes the connection", answer{problem: "x", took: 2 * time.Second}, Short, true, redisstore.Unreached},
		{"long schedule", answer{problem: "x", took: SendTimeout}, Long, false, redisstore.Unreached},
		{"refused at once", answer{problem: "x", took: time.Millisecond}, Short, false, redisstore.Uncalled},
		{"slow", answer{code: 202, took: SendTimeout}, Short, false, redisstore.Answered},
		{"slow and no", answer{code: 503, took: SendTimeout}, Short, false, redisstore.Answered},
	} {
		require.Equal(t, c.silent, decide(c.a, 1, c.s, time.Hour).silent, c.name)
		require.Equal(t, c.reach, c.a.reach(), c.name)
	}
	_, trips := silenceTrips(silencesInARow - 1)
	require.False(t, trips)
	reason, trips := silenceTrips(silencesInARow)
	require.True(t, trips)
	require.Equal(t, "the last 40 sends got no answer", reason)
	require.Equal(t, failuresInARow*(1+len(Delays(Short))), silencesInARow)
}

type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func TestProblemOf_SaysNothingOfTheEndpoint(t *testing.T) {
	t.Parallel()
	const hidden = "10.1.2.3 secret"
	for _, err := range []error{
		errors.New(hidden), &net.DNSError{Err: hidden, Name: hidden}, timeout{errors.New(hidden)},
		&tls.CertificateVerificationError{Err: errors.New(hidden)}, context.DeadlineExceeded,
		fmt.Errorf("dial: %w", &egress.AddressError{Kind: hidden}), &egress.URLError{Reason: hidden},
	} {
		got := problemOf(&net.OpError{Op: "dial", Err: err})
		require.NotEmpty(t, got)
		require.NotContains(t, got, "10.1.2.3")
	}
	inner := problemOf(&net.OpError{Op: "dial", Err: egress.CheckAddr(netip.MustParseAddr("10.0.0.1"))})
	require.Equal(t, "the endpoint's name was not found, or leads to an address that may not be called", inner)
	require.Equal(t, inner, problemOf(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "vault.corp.example", IsNotFound: true}}),
		"a partner must not learn which names our own network has")
	require.Equal(t, "no answer within 3s", problemOf(timeout{errors.New("x")}))
}

func TestFilters_Match(t *testing.T) {
	t.Parallel()
	a, b := uuid.New(), uuid.New()
	require.True(t, Filters{}.Match(uuid.Nil))
	require.True(t, Filters{FleetIDs: []uuid.UUID{a}}.Match(a))
	require.False(t, Filters{FleetIDs: []uuid.UUID{a}}.Match(b, "x"))
	require.False(t, Filters{FleetIDs: []uuid.UUID{uuid.Nil}}.Match(uuid.Nil, ""))
	require.True(t, Filters{FleetRefs: []string{"x"}}.Match(b, "", "x"))
	require.False(t, Filters{FleetRefs: []string{""}}.Match(b, ""))
	require.True(t, Filters{FleetIDs: []uuid.UUID{a}, FleetRefs: []string{"x"}}.Match(b, "x"), "named either way")
	f := Filters{FleetIDs: []uuid.UUID{b, a, b}, FleetRefs: []string{"y", "x", "y"}}
	require.Equal(t, f.Canonical(), Filters{FleetIDs: []uuid.UUID{a, b}, FleetRefs: []string{"x", "y"}}.Canonical())
	require.Len(t, f.Canonical().FleetIDs, 2)
}

func TestExpand(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{EventCreated, EventSucceeded, EventFailed}, Expand("resource_operation.*"))
	require.Equal(t, []string{EventStaled}, Expand("webhook.*"))
	require.Equal(t, []string{EventFailed}, Expand(EventFailed))
	for _, none := range []string{"", "*", "resource_operation", "resource*", "user.added", "user.*", ".*"} {
		require.Empty(t, Expand(none), none)
	}
}

func TestSubscription_ShowsNoSecret(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://example.com/webhooks/token?key=1": "https://example.com/webhooks/*****",
		"https://example.com":                      "https://example.com",
		"https://example.com/":                     "https://example.com/",
		"https://example.com/?key=token":           "https://example.com/?*****",
		"https://example.com?key=token":            "https://example.com?*****",
		"https://example.com/a/token/":             "https://example.com/a/*****/",
		"https://example.com/token//?key=1":        "https://example.com/*****//",
		"https://example.com/token":                "https://example.com/*****",
		"::":                                       "*****",
	} {
		s := Subscription{URL: in}
		require.Equal(t, want, s.MaskedURL(), in)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", s, s, s, s.LogValue()), "token")
	}
}

func TestReference_IsStable(t *testing.T) {
	t.Parallel()
	op := operation.Operation{Accepted: operation.Accepted{ID: uuid.Must(uuid.NewV7()), ConnectionID: uuid.New()}, Status: operation.Succeeded}
	r := endedReference(op)
	require.Equal(t, operation.EventID(op.ID, operation.EventSucceeded), r.Message)
	require.Equal(t, r, endedReference(op))
	created := createdReference(operation.Message{Accepted: op.Accepted})
	require.NotEqual(t, r.Message, created.Message)

	one, two := Subscription{ID: uuid.New()}, Subscription{ID: uuid.New()}
	a, err := r.delivery(one, "")
	require.NoError(t, err)
	again, _ := r.delivery(one, "")
	other, _ := r.delivery(two, "")
	replay, _ := r.delivery(one, " x")
	require.Equal(t, a, again)
	require.NotEqual(t, a.ID, other.ID)
	require.NotEqual(t, a.ID, replay.ID)
	back, err := referenceOf(a)
	require.NoError(t, err)
	require.Equal(t, r.Message, back.Message)

	at := time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC)
	s := Subscription{ID: uuid.Must(uuid.NewV7()), StaledAt: at}
	require.Equal(t, staledReference(s), staledReference(s))
	sec, nsec := staledReference(s).Message.Time().UnixTime()
	require.Equal(t, at, time.Unix(sec, nsec).UTC())
	s.StaledAt = at.Add(time.Hour)
	require.NotEqual(t, staledReference(Subscription{ID: s.ID, StaledAt: at}).Message, staledReference(s).Message)
}

func TestLetter_Headers(t *testing.T) {
	t.Parallel()
	l := letter{
		subscription: Subscription{ID: uuid.New(), URL: "https://example.com/hook"}, secrets: []string{"new-secret-123", "old-secret-123"},
		reference: Reference{Message: uuid.New(), Event: EventFailed}, attempt: 3, request: uuid.New(), body: []byte(`{}`),
	}
	r, err := l.http(t.Context(), time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	require.Equal(t, http.MethodPost, r.Method)
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Content-Encoding": "gzip", "Accept": "application/json", "User-Agent": "Catena-Webhook",
		"X-Event-Type": EventFailed, "X-Schema-Version": "1.0", "X-Source": "catena-notifications",
		"X-Request-Id": l.request.String(), "X-Webhook-Id": l.subscription.ID.String(), "X-Delivery-Attempt": "3",
		"X-Catena-Timestamp": "2026-05-03T10:00:00.000000+00:00", "Webhook-Id": l.reference.Message.String(), "Webhook-Timestamp": "1777802400",
	} {
		require.Equal(t, want, r.Header.Get(name), name)
	}
	require.Equal(t, receive.Sign("new-secret-123", r.Header.Get("X-Catena-Timestamp"), l.body), r.Header.Get("X-Catena-Signature"), "it has room for one")
	both := make([]string, 2)
	for i, secret := range l.secrets {
		both[i] = receive.SignStandard(secret, l.reference.Message.String(), time.Unix(1777802400, 0), l.body)
	}
	require.Equal(t, strings.Join(both, " "), r.Header.Get("webhook-signature"))
}

// TestPost_KnowsAnAskFromNone: that the header is there decides, not what it says.
func TestPost_KnowsAnAskFromNone(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"0", "0.5", "soon", "Mon, 20 Jul 2015 12:00:00 GMT", "-1", ""} {
		for _, asked := range []bool{true, false} {
			e := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked {
					w.Header().Set("Retry-After", value)
				}
				w.WriteHeader(http.StatusTooManyRequests)
			}))
			a := post(t.Context(), e.Client(), letter{subscription: Subscription{URL: e.URL}, secrets: []string{"s"}, body: []byte("{}")}, time.Now)
			e.Close()
			require.Equal(t, http.StatusTooManyRequests, a.code)
			require.Equal(t, asked, a.asked, value)
		}
	}
}
