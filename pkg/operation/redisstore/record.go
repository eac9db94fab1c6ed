package redisstore

import (
	"context"
	"errors"
	"fmt"

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
	// ResourceID and SourceID are those of a user that the attempt created. Zero:
	// it created none.
	ResourceID uuid.UUID
	SourceID   string
}

// Recorded is the record after the outcome went in.
type Recorded struct {
	Record
	// Late says that the lease had ended before.
	Late bool
	// More says that the lane has work that is due now.
	More bool
}

var verdicts = map[operation.Verdict]string{
	operation.Succeed: "success", operation.Again: "again", operation.Renew: "renew", operation.Fail: "fail",
}

// Record writes the outcome under its attempt id; twice is once. An outcome whose
// lease has ended completes its row, and a success still ends a pending
// operation. Errors: ErrStale (keep the outcome and record it later), ErrMissing,
// and those of the connection to Redis.
func (s *Store) Record(ctx context.Context, o Outcome) (Recorded, error) {
	row, err := encodeRow(o.Attempt)
	if err != nil {
		return Recorded{}, fmt.Errorf("redisstore: record: %w", err)
	}
	r, err := s.run(ctx, recordScript, operation.ShardOf(o.Connection),
		o.Connection.String(), o.Attempt.OperationID.String(), o.Attempt.ID.String(), verdicts[o.Decision.Verdict], row,
		o.Decision.Delay.Milliseconds(), o.Decision.Block.Milliseconds(), string(o.Reach),
		s.cfg.BreakerThreshold, s.cfg.BreakerOpen.Milliseconds(), newIDs(1)[0].String(), o.ResourceID.String(), o.SourceID)
	if err != nil {
		return Recorded{}, err
	}
	if r.word() == "missing" {
		return Recorded{}, ErrMissing
	}
	rec, err := decodeRecord(pairs(r[3]))
	rec.Blocked = lifted(r[4])
	return Recorded{Record: rec, Late: text(r[1]) != "held", More: number(r[2]) == 1}, err
}

// ErrEnded says that the operation had ended before.
var ErrEnded = errors.New("redisstore: the operation has ended")

// Cancel ends a pending operation as failed. One that is being called is marked:
// the end of the call decides. The record shows which. Errors: ErrStale, ErrMissing,
// and ErrEnded, with the record of an operation that had ended before.
func (s *Store) Cancel(ctx context.Context, connection, id uuid.UUID) (Record, error) {
	r, err := s.run(ctx, cancelScript, operation.ShardOf(connection), id.String(), newIDs(1)[0].String())
	if err != nil {
		return Record{}, err
	}
	if r.word() == "missing" {
		return Record{}, ErrMissing
	}
	rec, err := decodeRecord(pairs(r[1]))
	if err == nil && r.word() == "ended" {
		err = ErrEnded
	}
	return rec, err
}
