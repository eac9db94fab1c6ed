package redisstore

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/internal/cborlite"
	"writeback/pkg/operation"
)

// The fixed part of an operation, as the record holds it: a CBOR map with numbers for
// names, since there is one an operation. A number is never used again.
const (
	docVersion     = 1
	docID          = 2
	docPartner     = 3
	docConnection  = 4
	docFleet       = 5
	docProvider    = 6
	docResource    = 7
	docResourceID  = 8
	docSourceID    = 9
	docType        = 10
	docChanges     = 11 // names and values in turn
	docSync        = 12
	docMaxAttempts = 13
	docRetryOf     = 14
	docScope       = 15
	docFingerprint = 16
	docTrace       = 17 // the traceparent in bytes
	docTraceText   = 18 // or as it came, where it has another form
	docTraceState  = 19
	docOrigin      = 20
)

func encodeDoc(a operation.Accepted) []byte { return appendDoc(make([]byte, 0, docRoom), &a, a.Key) }

// docRoom is enough for most.
const docRoom = 512

// appendDoc writes the fixed part, with this key.
func appendDoc(b []byte, a *operation.Accepted, key *operation.Key) []byte {
	f := begin(b)
	f.someNumber(docVersion, a.Version)
	f.bytes(docID, a.ID[:])
	f.bytes(docPartner, a.PartnerID[:])
	f.bytes(docConnection, a.ConnectionID[:])
	f.someText(docFleet, a.FleetRef)
	f.someText(docProvider, a.Provider)
	f.someText(docResource, a.Resource)
	if a.ResourceID != uuid.Nil {
		f.bytes(docResourceID, a.ResourceID[:])
	}
	f.someText(docSourceID, a.SourceID)
	f.someText(docType, string(a.Type))
	f.changes(docChanges, a.Changes)
	f.someFlag(docSync, a.Sync)
	f.someNumber(docMaxAttempts, a.MaxAttempts)
	f.someID(docRetryOf, a.RetryOf)
	if key != nil {
		f.someText(docScope, key.Scope)
		f.someText(docFingerprint, key.Fingerprint)
	}
	if trace := traceBytes(a.TraceParent); trace != nil {
		f.bytes(docTrace, trace)
	} else {
		f.someText(docTraceText, a.TraceParent)
	}
	f.someText(docTraceState, a.TraceState)
	f.someID(docOrigin, a.Origin)
	return f.end()
}

func decodeDoc(s string) (operation.Accepted, error) {
	d := cborlite.NewDecoder(s)
	a, _ := readDoc(&d)
	return a, d.Close()
}

// readDoc reads the fixed part, and gives the bytes of the traceparent too.
func readDoc(d *cborlite.Decoder) (a operation.Accepted, trace string) {
	var scope, fingerprint string
	packed := false
	for name := range d.Fields() {
		switch name {
		case docVersion:
			a.Version = int(d.Int())
		case docID:
			d.Fill(a.ID[:])
		case docPartner:
			d.Fill(a.PartnerID[:])
		case docConnection:
			d.Fill(a.ConnectionID[:])
		case docFleet:
			a.FleetRef = d.Text()
		case docProvider:
			a.Provider = d.Text()
		case docResource:
			a.Resource = d.Text()
		case docResourceID:
			copy(a.ResourceID[:], d.Bytes())
		case docSourceID:
			a.SourceID = d.Text()
		case docType:
			a.Type = operation.Type(d.Text())
		case docChanges:
			a.Changes = readChanges(d)
		case docSync:
			a.Sync = d.Bool()
		case docMaxAttempts:
			a.MaxAttempts = int(d.Int())
		case docRetryOf:
			a.RetryOf = someID(d.Bytes())
		case docScope:
			scope = d.Text()
		case docFingerprint:
			fingerprint = d.Text()
		case docTrace:
			trace, packed = d.Bytes(), true
		case docTraceText:
			a.TraceParent = d.Text()
		case docTraceState:
			a.TraceState = d.Text()
		case docOrigin:
			a.Origin = someID(d.Bytes())
		default:
			d.Skip()
		}
	}
	if a.Changes == nil {
		a.Changes = operation.Changes{}
	}
	if scope != "" {
		a.Key = &operation.Key{Scope: scope, Fingerprint: fingerprint}
	}
	if packed {
		a.TraceParent = traceText([]byte(trace))
	}
	return a, trace
}

func readChanges(d *cborlite.Decoder) operation.Changes {
	n := d.Array()
	changes := make(operation.Changes, min(n/2, len(operation.UserFields)))
	for range n / 2 {
		name := operation.Field(d.Text())
		switch {
		case d.Null():
			changes[name] = operation.Null()
		case d.IsBool():
			changes[name] = operation.Flag(d.Bool())
		default:
			changes[name] = operation.Text(d.Text())
		}
	}
	if n%2 != 0 {
		d.Skip()
	}
	return changes
}

func someID(s string) *uuid.UUID {
	if len(s) != len(uuid.UUID{}) {
		return nil
	}
	id := uuid.UUID([]byte(s))
	return &id
}

// The packed form is version, trace id, span id, flags.
const traceSize, traceTextSize = 26, 55

// traceBytes packs a traceparent (https://www.w3.org/TR/trace-context/); nil if it
// does not have the form of version 00.
func traceBytes(s string) []byte {
	if len(s) != traceTextSize || s[2] != '-' || s[35] != '-' || s[52] != '-' || strings.ToLower(s) != s {
		return nil
	}
	b := make([]byte, 0, traceSize)
	for _, part := range [...]string{s[:2], s[3:35], s[36:52], s[53:]} {
		var err error
		if b, err = hex.AppendDecode(b, []byte(part)); err != nil {
			return nil
		}
	}
	return b
}

func traceText(b []byte) string {
	if len(b) != traceSize {
		return ""
	}
	s := hex.AppendEncode(make([]byte, 0, traceTextSize), b[:1])
	s = hex.AppendEncode(append(s, '-'), b[1:17])
	s = hex.AppendEncode(append(s, '-'), b[17:25])
	return string(hex.AppendEncode(append(s, '-'), b[25:]))
}

// An attempt, as the record holds it after its id: CBOR too, and a number is never used
// again. In a page its id is one of the values.
const (
	rowStart   = 1
	rowEnd     = 2
	rowFailed  = 3
	rowType    = 4
	rowDetail  = 5
	rowCode    = 6
	rowHeader  = 7
	rowMissed  = 8
	rowTrace   = 9 // the trace id in bytes
	rowID      = 20
	rowUnknown = 21
)

// row is an attempt without its id. Scripts write rows too, for an end without a call or
// an outcome that is unknown: these are JSON.
type row struct {
	Start  int64                   `json:"s"`
	End    int64                   `json:"e"` // in a CBOR row: after Start
	Failed bool                    `json:"-"`
	Status operation.AttemptStatus `json:"st"`
	Type   operation.ErrorType     `json:"t"`
	Detail string                  `json:"d"`
	Code   int                     `json:"-"`
	Header map[string]string       `json:"-"`
	Missed []operation.Field       `json:"-"`
	Trace  []byte                  `json:"-"`
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

func encodeRow(r row) []byte {
	f := begin(make([]byte, 0, rowRoom))
	f.row(&r)
	return f.end()
}

// rowRoom is enough for most.
const rowRoom = 256

// row writes the values of a row.
func (f *form) row(r *row) {
	f.number(rowStart, r.Start)
	f.number(rowEnd, r.End)
	f.someFlag(rowFailed, r.Failed)
	f.someText(rowType, string(r.Type))
	f.someText(rowDetail, r.Detail)
	f.someNumber(rowCode, r.Code)
	f.header(rowHeader, r.Header)
	f.fields(rowMissed, r.Missed)
	if len(r.Trace) > 0 {
		f.bytes(rowTrace, r.Trace)
	}
}

// read reads a value of a row, and reports whether it is one.
func (r *row) read(d *cborlite.Decoder, name int64) bool {
	switch name {
	case rowStart:
		r.Start = d.Int()
	case rowEnd:
		r.End = d.Int()
	case rowFailed:
		r.Failed = d.Bool()
	case rowType:
		r.Type = operation.ErrorType(d.Text())
	case rowDetail:
		r.Detail = d.Text()
	case rowCode:
		r.Code = int(d.Int())
	case rowHeader:
		r.Header = readHeader(d)
	case rowMissed:
		for n := d.Array(); n > 0 && !d.Failed(); n-- {
			r.Missed = append(r.Missed, operation.Field(d.Text()))
		}
	case rowTrace:
		r.Trace = []byte(d.Bytes())
	default:
		return false
	}
	return true
}

func readHeader(d *cborlite.Decoder) map[string]string {
	n := d.Map()
	header := make(map[string]string, min(n, headerRoom))
	for range n {
		name := d.Text()
		header[name] = d.Text()
	}
	return header
}

// headerRoom is enough for most, and bounds what is taken before anything was read.
const headerRoom = 16

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
		d := cborlite.NewDecoder(text)
		for name := range d.Fields() {
			if !r.read(&d, name) {
				d.Skip()
			}
		}
		err = d.Close()
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
	// unread is why it could not be read, where several are.
	unread error
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

// lifted gives a lane's blocked-until, or zero when it never was blocked.
func lifted(v any) time.Time {
	if ms := number(v); ms > 0 {
		return milli(ms)
	}
	return time.Time{}
}
