package sandbox

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"
)

// Record is one call as it was received, as GET /_control/requests shows it.
type Record struct {
	// ID rises with the time of arrival, from 1.
	ID   uint64    `json:"id"`
	Time time.Time `json:"time"`
	// Provider is the provider whose wire was spoken.
	Provider string `json:"provider"`
	// Connection is whose credential was used. Empty: nobody's.
	Connection string `json:"connection,omitempty"`
	// User is the provider's id of the user, as the caller wrote it.
	User string `json:"user,omitempty"`
	// UserID is the dev id of that user, if it has one.
	UserID string `json:"user_id,omitempty"`
	// Call names what was wanted, for example "Set User".
	Call   string `json:"call,omitempty"`
	Write  bool   `json:"write"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Query  string `json:"query,omitempty"`
	// Body is the JSON that came, with credentials masked; a string if it was not
	// JSON.
	Body json.RawMessage `json:"body,omitempty"`
	// Status that was answered. Zero: none, or not yet.
	Status int `json:"status"`
	// Open says that the call is still under way.
	Open bool `json:"open,omitempty"`
	// Fault says that an ordered fault was used.
	Fault bool `json:"fault"`
	// AppliedSeq counts the writes applied to this user, from 1. Zero: this call
	// changed nothing.
	AppliedSeq int64 `json:"applied_seq,omitempty"`
	// Refreshes counts the refreshes of the connection's tokens, from 1. Zero: this
	// call was none.
	Refreshes int64 `json:"refreshes,omitempty"`
	// Ignored lists the keys that the provider dropped in silence.
	Ignored []string `json:"ignored,omitempty"`
	// Duration until the answer, in nanoseconds.
	Duration time.Duration `json:"duration"`
}

// outcome is how a call ended.
type outcome struct {
	status    int
	fault     bool
	applied   int64
	refreshes int64
	ignored   []string
	duration  time.Duration
}

// logged is a call in the journal. Only its outcome changes, once.
type logged struct {
	record      Record
	contentType string
	body        []byte
	end         atomic.Pointer[outcome]
}

// journal holds the newest calls. The lock is held for pointers only: masking and
// encoding happen when somebody reads.
type journal struct {
	max      int
	maxBytes int64
	now      func() time.Time

	mu      sync.Mutex
	calls   []*logged // calls[head:] are live, in id order
	head    int
	bytes   int64
	lastID  uint64
	dropped uint64
}

func newJournal(limit int, maxBytes int64, now func() time.Time) *journal {
	return &journal{max: limit, maxBytes: maxBytes, now: now}
}

// arrive logs a call before anything is done about it.
func (j *journal) arrive(x *Exchange) *logged {
	l := &logged{contentType: x.Request.Header.Get("Content-Type"), body: x.Body, record: Record{
		Provider: x.provider, User: x.UserRef, Call: x.Name, Write: x.Class == ClassWrite,
		Method: x.Request.Method, Path: x.Request.URL.EscapedPath(), Query: x.Request.URL.RawQuery,
	}}
	if x.Account != nil {
		l.record.Connection = x.Account.Connection
	}
	if x.User != nil {
		l.record.UserID = x.User.catenaID
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lastID++
	l.record.ID, l.record.Time = j.lastID, j.now().UTC()
	j.calls = append(j.calls, l)
	j.bytes += int64(len(l.body))
	for len(j.calls)-j.head > j.max || (j.bytes > j.maxBytes && len(j.calls)-j.head > 1) {
		j.bytes -= int64(len(j.calls[j.head].body))
		j.calls[j.head] = nil
		j.head++
		j.dropped++
	}
	if j.head > 1024 && j.head > len(j.calls)/2 {
		j.calls = append([]*logged(nil), j.calls[j.head:]...)
		j.head = 0
	}
	return l
}

func (j *journal) finish(l *logged, o outcome) { l.end.Store(&o) }

// live gives the calls in the journal, oldest first, and how many were dropped.
func (j *journal) live() (calls []*logged, dropped uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]*logged(nil), j.calls[j.head:]...), j.dropped
}

func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls, j.head, j.bytes, j.dropped = nil, 0, 0, 0
}

// show gives the call as it may be seen.
func (l *logged) show() Record {
	r := l.record
	r.Body = maskBody(l.contentType, l.body)
	r.Query = maskQuery(r.Query)
	end := l.end.Load()
	if end == nil {
		r.Open = true
		return r
	}
	r.Status, r.Fault, r.AppliedSeq, r.Ignored, r.Duration = end.status, end.fault, end.applied, end.ignored, end.duration
	r.Refreshes = end.refreshes
	return r
}
