package redisstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Ack is what the streams have confirmed of an operation.
type Ack struct {
	Connection, ID uuid.UUID
	Accepted       bool
	// Rows is how many rows are in the stream; RowVersion is the one they were
	// read at.
	Rows       int
	RowVersion string
	Final      bool
	// Ended is the operation as its final event says it. It goes to its page once
	// everything else is confirmed too. Nil: it has not ended.
	Ended *operation.Operation
}

// AckSteps divides what is to be noted: what one shard gets stays together, and no step is
// much larger than most. Acked takes a step.
func AckSteps(acks []Ack, most int) [][]Ack {
	acks = slices.Clone(acks)
	slices.SortStableFunc(acks, func(a, b Ack) int {
		return operation.ShardOf(a.Connection) - operation.ShardOf(b.Connection)
	})
	var steps [][]Ack
	for len(acks) > 0 {
		n := min(most, len(acks))
		for n < len(acks) && n < most+ackMost && operation.ShardOf(acks[n].Connection) == operation.ShardOf(acks[n-1].Connection) {
			n++
		}
		steps, acks = append(steps, acks[:n]), acks[n:]
	}
	return steps
}

// Acked notes what is in the streams, for many operations in one pipeline, with one
// script a shard. Once everything of an operation is, it leaves the outbox, and an
// ended one gets its time to live. What is lost here is published again, so a stale
// shard is no error.
func (s *Store) Acked(ctx context.Context, acks []Ack) error {
	var shards [operation.Shards][]any
	for _, a := range acks {
		version, page := a.RowVersion, []byte(nil)
		if version == "" {
			version = "0"
		}
		if a.Ended != nil && !s.cfg.Unlisted {
			page = encodePage(*a.Ended)
		}
		shard := operation.ShardOf(a.Connection)
		shards[shard] = append(shards[shard], a.ID.String(), a.ID[:], flag(a.Accepted), a.Rows, version, flag(a.Final), page)
	}
	var calls []*call
	for shard, all := range shards {
		for args := range slices.Chunk(all, ackFields*ackMost) {
			calls = append(calls, s.newCall(ackedScript, shard, append([]any{int64(s.cfg.RecordTTL / time.Second)}, args...)...))
		}
	}
	s.performEach(ctx, calls...)
	return failed(calls)
}

const (
	ackFields = 7  // what the script gets of one operation
	ackMost   = 64 // operations of one script, which nothing can interrupt
)

// Claim gives operations of the shards whose messages are overdue, at most the given
// number a shard, and puts each off by hold, so that two publishers seldom take the same
// one. A record that cannot be read, and a shard that cannot be asked, is skipped and
// reported in the error, beside the others.
func (s *Store) Claim(ctx context.Context, shards []int, most int, hold time.Duration) ([]Record, error) {
	asked := time.Now()
	calls := make([]*call, len(shards))
	for i, shard := range shards {
		calls[i] = s.newCall(claimScript, shard, most, hold.Milliseconds())
	}
	s.performEach(ctx, calls...)
	var out []Record
	bad := failed(calls)
	for _, c := range calls {
		if c.err == nil && c.answer.word() == "ok" {
			for _, item := range array(c.answer[1]) {
				rec, err := claimed(array(item))
				if err != nil {
					id, _ := uuid.Parse(text(array(item)[0]))
					bad = errors.Join(bad, unreadable(id, err))
					continue
				}
				rec.Asked = asked
				out = append(out, rec)
			}
		}
	}
	return out, bad
}

// claimed reads one operation of a claim: its record, or what its page holds of it,
// of which a row was completed later.
func claimed(v []any) (Record, error) {
	if page := text(v[1]); page != "" {
		rec, err := decodePage([]byte(page))
		rec.Final = false
		return rec, err
	}
	rec, err := decodeRecord(pairs(v[1]), nil, ownRow{})
	rec.Blocked = lifted(v[2])
	return rec, err
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
