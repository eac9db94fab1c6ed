// Package history checks Writeback's promises against what was seen from outside:
// what clients sent and were answered, what the providers received, what the api
// says of every operation, and what is in the event stream.
//
// It is for tests alone. It knows neither HTTP nor NATS nor Redis: a test fills a
// History in and asks Check. What is known to be out of reach of any rule (a
// process stopped just before its socket write, for example) is counted apart, as
// residue, and is no violation.
package history

import "time"

// History is all that was seen. Times are offsets from one moment, on clocks of
// one machine. The zero value is an empty history, which is good.
type History struct {
	Requests   []Request
	Calls      []Call
	Operations []Operation
	Events     []Event
	Reads      []Read
	// Streamed are the operations whose accepted message is in the stream.
	Streamed []string
	// Untold are the operations that were answered although their message could not
	// be put into the stream then.
	Untold map[string]bool
	// Losses of the store.
	Losses []Loss
	// Limits of each connection, by id.
	Limits map[string]Limits
	// StartWindow is how long after its hand-out a call may start. Zero: 1 s.
	StartWindow time.Duration
	// Margin is what a lease has beyond start window and call deadline. Zero: 4 s.
	Margin time.Duration
	// Transit is how long the way to the provider may hold a call that the worker
	// has made. Zero: it holds none.
	Transit time.Duration
}

// Limits are those of one connection.
type Limits struct {
	// InFlight bounds the calls at a time. Zero: not checked.
	InFlight int
	// PerSecond bounds the rate, with Burst calls at once. Zero: not checked.
	PerSecond float64
	Burst     int
	// Call is the deadline of one call; with it the length of a lease is known.
	Call time.Duration
	// Silent says that the provider keeps no record of its calls, so that nothing
	// can be said about them.
	Silent bool
	// Reads says that the adapter reads before it writes: a row of the network with a
	// status may be of an answer to that, cut off before its end.
	Reads bool
}

// Request is one write as its client saw it.
type Request struct {
	// Marker is a text in the payload that no other request has.
	Marker     string
	Connection string
	User       string
	Sync       bool
	Sent       time.Duration
	// Answered is when the whole answer was there. Zero: never.
	Answered time.Duration
	// Status of the answer. Zero: none came.
	Status int
	// Operation is the id in the answer. Empty: none.
	Operation string
}

// accepted reports an answer that promises an operation.
func (r Request) accepted() bool {
	return r.Status == 200 || r.Status == 202 || r.Status == 502 && r.Operation != ""
}

// open reports that the client cannot know whether it was accepted.
func (r Request) open() bool { return r.Status == 0 || r.Status >= 500 && !r.accepted() }

// Call is one write as a provider received it.
type Call struct {
	ID         string
	Connection string
	User       string
	Marker     string
	Start      time.Duration
	// End is when it was answered or broken off. Zero: it never was.
	End time.Duration
	// Status that was answered. Zero: none.
	Status int
	// Applied says that it changed the user.
	Applied bool
	// Fault says that the provider was told to misbehave.
	Fault bool
}

// Operation is one operation as the api shows it in the end.
type Operation struct {
	ID         string
	Marker     string
	Connection string
	User       string
	// Status is pending, success or failed.
	Status  string
	Created time.Duration
	Updated time.Duration
	Rows    []Row
}

// The statuses of an operation.
const (
	Pending = "pending"
	Success = "success"
	Failed  = "failed"
)

func terminal(status string) bool { return status == Success || status == Failed }

// Row is one row of an operation's attempt log.
type Row struct {
	ID string
	// Status is success or failed; ErrorType is empty for a success, and for a row
	// that explains an end without a call.
	Status    string
	ErrorType string
	// Code is the provider's status. Zero: none.
	Code       int
	Start, End time.Duration
	// RetryAfter is how long the provider asked to wait. Zero: it did not.
	RetryAfter time.Duration
}

// Network is the error type of a call whose outcome may be unknown.
const Network = "network"

// called reports what the row says about the provider: whether it stands for a
// write, and whether that must have been received. reads is that of the Limits.
func (r Row) called(reads bool) (may, must bool) {
	switch {
	case r.Status == Success:
		return true, true
	case r.ErrorType == "":
		return false, false // explains an end
	case r.ErrorType == Network:
		return true, r.Code != 0 && !reads
	default:
		return true, r.Code != 0 // without a code it was refused before any call
	}
}

// attempted is the kind of an event that ends nothing.
const attempted = "attempted"

// Event is one message of the event stream.
type Event struct {
	ID        string
	Operation string
	// Kind is attempted, succeeded or failed.
	Kind string
	// At is when the stream stored it.
	At time.Duration
	// Blocked is until when the connection waits. Zero: it does not.
	Blocked time.Duration
	Rows    []EventRow
}

// EventRow is a row as an event carried it.
type EventRow struct {
	ID      string
	Status  string
	Unknown bool
}

// Read is one reading of an operation's status.
type Read struct {
	Operation string
	Status    string
	At        time.Duration
}
