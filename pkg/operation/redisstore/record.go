package redisstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Reach says what an attempt tells about the way to the provider.
type Reach string

// The reaches.
const (
	// Answered: the provider said something, which closes the breaker.
	Answered Reach = "answered"
	// Unreached: a network failure, which counts towards opening it.
	Unreached Reach = "unreached"
	// Uncalled: the attempt failed before any call.
	Uncalled Reach = "uncalled"
)

// Outcome is what is recorded of one attempt.
type Outcome struct {
	Connection uuid.UUID
	Attempt    operation.Attempt
	Decision   operation.Decision
	Reach      Reach
	// Refused is the mark of the credentials that the provider refused, if the decision
	// is to renew them: one word, which the next lease has.
	Refused string
	// ResourceID and SourceID are those of a user that the attempt created. Zero:
	// it created none.
	ResourceID uuid.UUID
	SourceID   string
	// Accepted is the operation as its lease has it. Nil: it is read again.
	Accepted *operation.Accepted
	// More are the attempt ids for further work of the lane, which Recorded then
	// holds as leases of the given length. Nil: none is taken.
	More  []uuid.UUID
	Lease time.Duration
}

// Recorded is the record after the outcome went in.
type Recorded struct {
	Record
	// Late says that the lease had ended before.
	Late bool
	// More says that the lane has work that is due now.
	More bool
	// Leases are the further work that was asked for, as far as there is any, and
	// Unreadable those of it that no call can be made of.
	Leases     []Lease
	Unreadable []Unreadable
}

var verdicts = map[operation.Verdict]string{
	operation.Succeed: "success", operation.Again: "again", operation.Renew: "renew", operation.Fail: "fail",
}

// Record writes the outcome under its attempt id; twice is once. An outcome whose
// lease has ended completes its row, and a success still ends a pending
// operation. Errors: ErrStale (keep the outcome and record it later), ErrMissing,
// those of the connection to Redis, and ErrUnreadable: of a record, when the outcome is in it and
// the rest of the answer holds, and of a page, when it is not.
func (s *Store) Record(ctx context.Context, o Outcome) (Recorded, error) {
	written := rowOf(o.Attempt)
	verdict := verdicts[o.Decision.Verdict] + " " + words(o.Decision.Delay.Milliseconds(), o.Decision.Block.Milliseconds()) + " " + string(o.Reach)
	if o.Decision.Verdict == operation.Renew {
		verdict += " " + o.Refused
	}
	op := o.Attempt.OperationID
	args := append(make([]any, 0, 11+len(o.More)),
		o.Connection.String(), op.String(), op[:], o.Attempt.ID.String(), encodeRow(written),
		verdict,
		words(int64(s.cfg.BreakerThreshold), s.cfg.BreakerOpen.Milliseconds(), o.Lease.Milliseconds()),
		flag(o.Accepted == nil), spareID(), o.ResourceID.String(), o.SourceID)
	for _, id := range o.More {
		args = append(args, id.String())
	}
	asked := time.Now()
	r, err := s.run(ctx, recordScript, operation.ShardOf(o.Connection), args...)
	if err != nil {
		return Recorded{}, err
	}
	switch r.word() {
	case "missing":
		return Recorded{}, ErrMissing
	case "paged":
		return s.amend(ctx, o, text(r[1]))
	}
	// The answer leaves out what we sent.
	rec, err := decodeRecord(pairs(r[3]), o.Accepted, ownRow{int(number(r[6])), written.attempt(o.Attempt.ID, op, false)})
	rec.Blocked, rec.Asked = lifted(r[4]), asked
	out := Recorded{Record: rec, Late: text(r[1]) != "held", More: number(r[2]) == 1}
	out.Leases, out.Unreadable = decodeLeases(o.Connection, array(r[5]))
	return out, unreadable(op, err)
}

// amend writes the outcome of a call that ended after its operation had, and after
// everything of that was in the streams: it completes the row in the page.
func (s *Store) amend(ctx context.Context, o Outcome, page string) (Recorded, error) {
	for range amendTries {
		asked := time.Now()
		rec, err := decodePage([]byte(page))
		if err != nil {
			return Recorded{Late: true}, unreadable(o.Attempt.OperationID, err)
		}
		rec.Asked = asked
		out := Recorded{Record: rec, Late: true}
		op := &out.Operation
		if !complete(op, o) {
			return out, nil // it is recorded
		}
		next := encodePage(*op)
		r, err := s.run(ctx, amendScript, operation.ShardOf(o.Connection), op.ID.String(), op.ID[:], o.Connection.String(), page, next,
			words(o.Decision.Block.Milliseconds())+" "+string(o.Reach)+" "+words(int64(s.cfg.BreakerThreshold), s.cfg.BreakerOpen.Milliseconds()))
		if err != nil {
			return Recorded{}, err
		}
		if r.word() == "ok" {
			out.Final = false // the event goes out again
			out.More = number(r[1]) == 1
			return out, nil
		}
		if r, err = s.run(ctx, getScript, operation.ShardOf(o.Connection), op.ID.String(), op.ID[:]); err != nil {
			return Recorded{}, err
		}
		if r.word() != "paged" {
			return Recorded{}, ErrMissing
		}
		page = text(r[1])
	}
	return Recorded{}, errors.New("redisstore: the page of an operation changes all the time")
}

// complete puts an outcome into an operation that has ended, and says whether that was new.
func complete(op *operation.Operation, o Outcome) bool {
	i := slices.IndexFunc(op.Attempts, func(a operation.Attempt) bool { return a.ID == o.Attempt.ID })
	switch {
	case i < 0:
		op.Attempts = append(op.Attempts, o.Attempt)
	case op.Attempts[i].Unknown:
		op.Attempts[i] = o.Attempt
	default:
		return false
	}
	if o.SourceID != "" && op.SourceID == "" { // those of an end stay
		op.ResourceID, op.SourceID = o.ResourceID, o.SourceID
	}
	return true
}

// amendTries bounds the races of calls that end late, of one operation, at one moment.
const amendTries = 8

// ErrEnded says that the operation had ended before.
var ErrEnded = errors.New("redisstore: the operation has ended")

// Cancel ends a pending operation as failed. One that is being called is marked:
// the end of the call decides. The record shows which. Errors: ErrStale, ErrMissing,
// ErrEnded, with the record of an operation that had ended before, and ErrUnreadable, when
// it was done all the same.
func (s *Store) Cancel(ctx context.Context, connection, id uuid.UUID) (Record, error) {
	asked := time.Now()
	r, err := s.run(ctx, cancelScript, operation.ShardOf(connection), id.String(), id[:], spareID())
	if err != nil {
		return Record{}, err
	}
	switch r.word() {
	case "missing":
		return Record{}, ErrMissing
	case "paged":
		rec, err := decodePage([]byte(text(r[1])))
		if err == nil {
			return rec, ErrEnded
		}
		return rec, unreadable(id, err)
	}
	rec, err := decodeRecord(pairs(r[1]), nil, ownRow{})
	rec.Asked = asked
	if err == nil && r.word() == "ended" {
		return rec, ErrEnded
	}
	return rec, unreadable(id, err)
}
