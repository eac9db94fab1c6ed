package redisstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// row is an attempt as the record holds it; short names, since there is one a call.
// Scripts write this form too, for rows that explain an end without a call.
type row struct {
	ID      uuid.UUID               `json:"id"`
	Start   int64                   `json:"s"`
	End     int64                   `json:"e"`
	Status  operation.AttemptStatus `json:"st"`
	Type    operation.ErrorType     `json:"t,omitempty"`
	Detail  string                  `json:"d,omitempty"`
	Code    int                     `json:"c,omitempty"`
	Header  map[string]string       `json:"h,omitempty"`
	Unknown bool                    `json:"u,omitempty"`
	Missed  []operation.Field       `json:"x,omitempty"`
	Trace   string                  `json:"tr,omitempty"`
}

func encodeRow(a operation.Attempt) (string, error) {
	b, err := json.Marshal(row{
		ID: a.ID, Start: a.StartedAt.UnixMicro(), End: a.EndedAt.UnixMicro(), Status: a.Status,
		Type: a.ErrorType, Detail: a.Detail, Code: a.StatusCode, Header: a.Header, Unknown: a.Unknown,
		Missed: a.Unapplied, Trace: a.TraceID,
	})
	return string(b), err
}

func decodeRow(s string, op uuid.UUID) (operation.Attempt, error) {
	var r row
	if err := json.Unmarshal([]byte(s), &r); err != nil {
		return operation.Attempt{}, err
	}
	return operation.Attempt{
		ID: r.ID, OperationID: op, StartedAt: micro(r.Start), EndedAt: micro(r.End), Status: r.Status,
		ErrorType: r.Type, Detail: r.Detail, StatusCode: r.Code, Header: r.Header, Unknown: r.Unknown,
		Unapplied: r.Missed, TraceID: r.Trace,
	}, nil
}

func micro(us int64) time.Time { return time.UnixMicro(us).UTC() }

func milli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

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
}

// decodeRecord reads the hash of one operation.
func decodeRecord(h map[string]string) (Record, error) {
	var rec Record
	op := &rec.Operation
	if err := json.Unmarshal([]byte(h["doc"]), &op.Accepted); err != nil {
		return rec, fmt.Errorf("redisstore: record: %w", err)
	}
	if source := h["source_id"]; source != "" { // a create that was done
		op.SourceID = source
		op.ResourceID, _ = uuid.Parse(h["resource_id"])
	}
	op.Seq = atoi(h["seq"])
	op.Deadline = milli(atoi(h["dl"]))
	op.UpdatedAt = micro(atoi(h["upd"]))
	op.Status = operation.Status(h["st"])
	op.Attempted = int(atoi(h["attempted"]))
	op.CancelRequested = h["mark"] == "cancel"
	rows := int(atoi(h["rows"]))
	op.Attempts = make([]operation.Attempt, 0, rows)
	for i := 1; i <= rows; i++ {
		a, err := decodeRow(h["r:"+strconv.Itoa(i)], op.ID)
		if err != nil {
			return rec, fmt.Errorf("redisstore: row %d of %s: %w", i, op.ID, err)
		}
		op.Attempts = append(op.Attempts, a)
	}
	rec.Accepted = h["acked_accepted"] == "1" || h["sync"] == "1"
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

// lifted gives a lane's blocked-until, or zero when it never was blocked.
func lifted(v any) time.Time {
	if ms := number(v); ms > 0 {
		return milli(ms)
	}
	return time.Time{}
}
