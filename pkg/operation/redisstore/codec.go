package redisstore

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Record is an operation with what is known to be in the streams.
type Record struct {
	Operation operation.Operation
	// Accepted, Rows and Final say what the streams have confirmed: the accepted
	// message, how many rows, the final event.
	Accepted bool
	Rows     int
	Final    bool
	// RowVersion changes when a row that was published is completed later.
	RowVersion string
	// Blocked is until when the provider asked the lane to wait. Zero: it did not.
	Blocked time.Time
	// NextAt is when a waiting operation may be tried again. Zero: not waiting.
	NextAt time.Time
	Answer
	// unread is why it could not be read, where several are.
	unread error
}

// Answer is part of what is told to the streams.
type Answer struct {
	// Asked is when the store was asked.
	Asked time.Time
}

// TellWithin is for how long what the store has answered may be told to the streams. The
// process may have stood still since, and the store may have lost it and been filled again
// from what the streams had by then; see work.RestoreConfig.
const TellWithin = time.Second

// Old says that it may not be told to the streams any more: the outbox will. Of an accept,
// accepting once more says whether the store has lost it since.
func (a Answer) Old() bool { return time.Since(a.Asked) > TellWithin }

// placeOf reads the seq and the deadline out of a record's fixed numbers; see
// lua/parts/record.lua.
func placeOf(who string) (operation.Place, error) {
	f := strings.Fields(who)
	const seqAt, deadlineAt, all = 4, 5, 7
	if len(f) < all {
		return operation.Place{}, fmt.Errorf("redisstore: a record of %d fixed numbers", len(f))
	}
	return operation.Place{Seq: atoi(f[seqAt]), Deadline: milli(atoi(f[deadlineAt]))}, nil
}

// ownRow is a row that need not be read, since the reader has written it. The zero one is
// none.
type ownRow struct {
	at      int
	attempt operation.Attempt
}

// decodeRecord reads the hash of one operation. Its fixed part may be known, and one row.
func decodeRecord(h map[string]string, known *operation.Accepted, own ownRow) (Record, error) {
	var rec Record
	op := &rec.Operation
	if known != nil {
		op.Accepted = *known
	} else {
		a, err := decodeDoc(h["doc"])
		if err != nil {
			return rec, fmt.Errorf("redisstore: record: %w", err)
		}
		op.Accepted = a
	}
	if source := h["source_id"]; source != "" { // a create that was done
		op.SourceID = source
		op.ResourceID, _ = uuid.Parse(h["resource_id"])
	}
	place, err := placeOf(h["who"])
	if err != nil {
		return rec, err
	}
	op.Place = place
	op.UpdatedAt, op.Status = op.CreatedAt(), operation.Pending
	if upd := h["upd"]; upd != "" {
		op.UpdatedAt = micro(atoi(upd))
	}
	if st := h["st"]; st != "" {
		op.Status = operation.Status(st)
	}
	op.Attempted = int(atoi(h["attempted"]))
	op.CancelRequested = h["mark"] == "cancel"
	rows := int(atoi(h["rows"]))
	op.Attempts = make([]operation.Attempt, 0, rows)
	for i := 1; i <= rows; i++ {
		if i == own.at {
			op.Attempts = append(op.Attempts, own.attempt)
			continue
		}
		a, err := decodeRow(h["r:"+strconv.Itoa(i)], op.ID)
		if err != nil {
			return rec, fmt.Errorf("redisstore: row %d of %s: %w", i, op.ID, err)
		}
		op.Attempts = append(op.Attempts, a)
	}
	rec.Accepted = h["acked_accepted"] == "1" || op.Sync
	rec.Rows = int(atoi(h["acked_rows"]))
	rec.Final = h["acked_final"] == "1"
	rec.NextAt = lifted(h["nb"])
	rec.RowVersion = h["row_version"]
	if rec.RowVersion == "" {
		rec.RowVersion = "0"
	}
	return rec, nil
}

func atoi(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func micro(us int64) time.Time { return time.UnixMicro(us).UTC() }

func milli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// lifted gives a lane's blocked-until, or zero when it never was blocked.
func lifted(v any) time.Time {
	if ms := number(v); ms > 0 {
		return milli(ms)
	}
	return time.Time{}
}
