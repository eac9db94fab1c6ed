package tsptest

import (
	"fmt"
	"net/http"
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
	kind       operation.ErrorType // empty: any
	retryable  bool
	refresh    bool
	retryAfter [2]time.Duration // at least, at most
	// beside says that the answer is not about who calls.
	beside bool
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
	// The call may come long after this on a busy machine.
	soon.retryAfter = [2]time.Duration{15 * time.Minute, 55 * time.Minute}
	date := time.Now().Add(55 * time.Minute).UTC().Format(http.TimeFormat)
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
	beside := refused
	beside.beside = true
	for status, w := range map[int]want{401: renew, 403: denied, 400: refused, 404: beside, 405: beside, 409: beside, 422: refused} {
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
