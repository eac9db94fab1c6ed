package redisstore

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// doc is the fixed part of an operation as the record holds it: CBOR with numbers
// for names, since there is one an operation. A number is never used again.
type doc struct {
	Version    int       `cbor:"1,keyasint,omitempty"`
	ID         uuid.UUID `cbor:"2,keyasint"`
	Partner    uuid.UUID `cbor:"3,keyasint"`
	Connection uuid.UUID `cbor:"4,keyasint"`
	Fleet      string    `cbor:"5,keyasint,omitempty"`
	Provider   string    `cbor:"6,keyasint,omitempty"`
	Resource   string    `cbor:"7,keyasint,omitempty"`
	ResourceID []byte    `cbor:"8,keyasint,omitempty"`
	SourceID   string    `cbor:"9,keyasint,omitempty"`
	Type       string    `cbor:"10,keyasint,omitempty"`
	// Changes are names and values in turn.
	Changes     []any  `cbor:"11,keyasint,omitempty"`
	Sync        bool   `cbor:"12,keyasint,omitempty"`
	MaxAttempts int    `cbor:"13,keyasint,omitempty"`
	RetryOf     []byte `cbor:"14,keyasint,omitempty"`
	Scope       string `cbor:"15,keyasint,omitempty"`
	Fingerprint string `cbor:"16,keyasint,omitempty"`
	// Trace is the traceparent in bytes, or as it came where it has another form.
	Trace      []byte `cbor:"17,keyasint,omitempty"`
	TraceText  string `cbor:"18,keyasint,omitempty"`
	TraceState string `cbor:"19,keyasint,omitempty"`
	Origin     []byte `cbor:"20,keyasint,omitempty"`
}

func docOf(a operation.Accepted) doc {
	d := doc{
		Version: a.Version, ID: a.ID, Partner: a.PartnerID, Connection: a.ConnectionID, Fleet: a.FleetRef,
		Provider: a.Provider, Resource: a.Resource, SourceID: a.SourceID, Type: string(a.Type),
		Sync: a.Sync, MaxAttempts: a.MaxAttempts, TraceState: a.TraceState,
	}
	if a.ResourceID != uuid.Nil {
		d.ResourceID = a.ResourceID[:]
	}
	for _, f := range a.Changes.Fields() {
		v, _ := a.Changes.Get(f)
		d.Changes = append(d.Changes, string(f), v.Any())
	}
	if a.RetryOf != nil {
		d.RetryOf = a.RetryOf[:]
	}
	if a.Origin != nil {
		d.Origin = a.Origin[:]
	}
	if a.Key != nil {
		d.Scope, d.Fingerprint = a.Key.Scope, a.Key.Fingerprint
	}
	if d.Trace = traceBytes(a.TraceParent); d.Trace == nil {
		d.TraceText = a.TraceParent
	}
	return d
}

func (d doc) accepted() (operation.Accepted, error) {
	a := operation.Accepted{
		Version: d.Version, ID: d.ID, PartnerID: d.Partner, ConnectionID: d.Connection, FleetRef: d.Fleet,
		Provider: d.Provider, Resource: d.Resource, SourceID: d.SourceID, Type: operation.Type(d.Type),
		Sync: d.Sync, MaxAttempts: d.MaxAttempts, TraceParent: d.TraceText, TraceState: d.TraceState,
	}
	copy(a.ResourceID[:], d.ResourceID)
	a.RetryOf, a.Origin = someID(d.RetryOf), someID(d.Origin)
	if d.Scope != "" {
		a.Key = &operation.Key{Scope: d.Scope, Fingerprint: d.Fingerprint}
	}
	if d.Trace != nil {
		a.TraceParent = traceText(d.Trace)
	}
	a.Changes = make(operation.Changes, len(d.Changes)/2)
	for i := 0; i+1 < len(d.Changes); i += 2 {
		name, _ := d.Changes[i].(string)
		v, err := valueOf(d.Changes[i+1])
		if err != nil {
			return a, err
		}
		a.Changes[operation.Field(name)] = v
	}
	return a, nil
}

func someID(b []byte) *uuid.UUID {
	if len(b) != len(uuid.UUID{}) {
		return nil
	}
	id := uuid.UUID(b)
	return &id
}

func valueOf(x any) (operation.Value, error) {
	switch x := x.(type) {
	case nil:
		return operation.Null(), nil
	case string:
		return operation.Text(x), nil
	case bool:
		return operation.Flag(x), nil
	}
	return operation.Value{}, fmt.Errorf("redisstore: a change holds a %T", x)
}

// traceSize is the packed form: version, trace id, span id, flags.
const traceSize = 26

// traceBytes packs a traceparent (https://www.w3.org/TR/trace-context/); nil if it
// does not have the form of version 00.
func traceBytes(s string) []byte {
	if len(s) != 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return nil
	}
	b, err := hex.DecodeString(s[:2] + s[3:35] + s[36:52] + s[53:])
	if err != nil || traceText(b) != s {
		return nil
	}
	return b
}

func traceText(b []byte) string {
	if len(b) != traceSize {
		return ""
	}
	s := hex.EncodeToString(b)
	return s[:2] + "-" + s[2:34] + "-" + s[34:50] + "-" + s[50:]
}

func encodeDoc(a operation.Accepted) ([]byte, error) { return cbor.Marshal(docOf(a)) }

func decodeDoc(b []byte) (operation.Accepted, error) {
	var d doc
	if err := cbor.Unmarshal(b, &d); err != nil {
		return operation.Accepted{}, err
	}
	return d.accepted()
}

// row is an attempt as the record holds it, after its id. Scripts write rows too, for
// an end without a call or an outcome that is unknown: these are JSON.
type row struct {
	Start  int64                   `cbor:"1,keyasint" json:"s"`
	End    int64                   `cbor:"2,keyasint" json:"e"` // in a CBOR row: after Start
	Failed bool                    `cbor:"3,keyasint,omitempty" json:"-"`
	Status operation.AttemptStatus `cbor:"-" json:"st"`
	Type   operation.ErrorType     `cbor:"4,keyasint,omitempty" json:"t"`
	Detail string                  `cbor:"5,keyasint,omitempty" json:"d"`
	Code   int                     `cbor:"6,keyasint,omitempty" json:"-"`
	Header map[string]string       `cbor:"7,keyasint,omitempty" json:"-"`
	Missed []operation.Field       `cbor:"8,keyasint,omitempty" json:"-"`
	// Trace is the trace id in bytes.
	Trace []byte `cbor:"9,keyasint,omitempty" json:"-"`
}

func rowOf(a operation.Attempt) row {
	start := a.StartedAt.UnixMicro()
	trace, _ := hex.DecodeString(a.TraceID)
	return row{
		Trace: trace, Start: start, End: a.EndedAt.UnixMicro() - start, Failed: a.Status == operation.AttemptFailed, Type: a.ErrorType,
		Detail: a.Detail, Code: a.StatusCode, Header: a.Header, Missed: a.Unapplied,
	}
}

func (r row) attempt(id, op uuid.UUID, unknown bool) operation.Attempt {
	a := operation.Attempt{
		ID: id, OperationID: op, StartedAt: micro(r.Start), EndedAt: micro(r.Start + r.End), Status: operation.AttemptSucceeded,
		ErrorType: r.Type, Detail: r.Detail, StatusCode: r.Code, Header: r.Header, Unknown: unknown, Unapplied: r.Missed,
		TraceID: hex.EncodeToString(r.Trace),
	}
	if r.Failed {
		a.Status = operation.AttemptFailed
	}
	if len(a.Header) == 0 { // as it is read again
		a.Header = nil
	}
	if len(a.Unapplied) == 0 {
		a.Unapplied = nil
	}
	return a
}

func encodeRow(a operation.Attempt) ([]byte, error) { return cbor.Marshal(rowOf(a)) }

// decodeRow reads a field of the log: whether the outcome is known, the id, the row.
func decodeRow(s string, op uuid.UUID) (operation.Attempt, error) {
	const idAt, textAt = 1, 37
	if len(s) < textAt {
		return operation.Attempt{}, fmt.Errorf("redisstore: a log row of %d bytes", len(s))
	}
	id, err := uuid.Parse(s[idAt:textAt])
	if err != nil {
		return operation.Attempt{}, err
	}
	var r row
	if text := s[textAt:]; text[:min(1, len(text))] == "{" {
		err = json.Unmarshal([]byte(text), &r)
		r.End, r.Failed = r.End-r.Start, r.Status == operation.AttemptFailed
	} else {
		err = cbor.Unmarshal([]byte(text), &r)
	}
	return r.attempt(id, op, s[0] == 'u'), err
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

// placeOf reads the seq and the deadline out of a record's fixed numbers; see
// lua/parts/record.lua.
func placeOf(who string) (operation.Place, error) {
	f := strings.Fields(who)
	const seqAt, deadlineAt, all = 4, 5, 7
	if len(f) != all {
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
		a, err := decodeDoc([]byte(h["doc"]))
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

// lifted gives a lane's blocked-until, or zero when it never was blocked.
func lifted(v any) time.Time {
	if ms := number(v); ms > 0 {
		return milli(ms)
	}
	return time.Time{}
}
