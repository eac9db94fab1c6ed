package redisstore

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// The forms as a CBOR library has them, which writes and reads them by reflection. What
// lies in Redis has been written with these.

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
	if d.Trace = packed(a.TraceParent); d.Trace == nil {
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
	a.RetryOf, a.Origin = someID(string(d.RetryOf)), someID(string(d.Origin))
	if d.Scope != "" {
		a.Key = &operation.Key{Scope: d.Scope, Fingerprint: d.Fingerprint}
	}
	if d.Trace != nil {
		a.TraceParent = unpacked(d.Trace)
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

func packed(s string) []byte {
	if len(s) != 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return nil
	}
	b, err := hex.DecodeString(s[:2] + s[3:35] + s[36:52] + s[53:])
	if err != nil || unpacked(b) != s {
		return nil
	}
	return b
}

func unpacked(b []byte) string {
	if len(b) != traceSize {
		return ""
	}
	s := hex.EncodeToString(b)
	return s[:2] + "-" + s[2:34] + "-" + s[34:50] + "-" + s[50:]
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

type taggedRow struct {
	Start  int64                   `cbor:"1,keyasint"`
	End    int64                   `cbor:"2,keyasint"` // in a CBOR row: after Start
	Failed bool                    `cbor:"3,keyasint,omitempty"`
	Status operation.AttemptStatus `cbor:"-"`
	Type   operation.ErrorType     `cbor:"4,keyasint,omitempty"`
	Detail string                  `cbor:"5,keyasint,omitempty"`
	Code   int                     `cbor:"6,keyasint,omitempty"`
	Header map[string]string       `cbor:"7,keyasint,omitempty"`
	Missed []operation.Field       `cbor:"8,keyasint,omitempty"`
	// Trace is the trace id in bytes.
	Trace []byte `cbor:"9,keyasint,omitempty"`
}

// ended is an ended operation in its page.
type ended struct {
	Doc      doc   `cbor:"1,keyasint"`
	Seq      int64 `cbor:"2,keyasint"`
	Deadline int64 `cbor:"3,keyasint"` // ms after Seq
	Updated  int64 `cbor:"4,keyasint"` // µs after Seq
	Failed   bool  `cbor:"5,keyasint,omitempty"`
	// Attempted is left out where it is the number of rows.
	Attempted *int       `cbor:"6,keyasint,omitempty"`
	Rows      []endedRow `cbor:"7,keyasint,omitempty"`
}

type endedRow struct {
	taggedRow
	ID      uuid.UUID `cbor:"20,keyasint"`
	Unknown bool      `cbor:"21,keyasint,omitempty"`
}

// canonical: the same operation gives the same bytes, by which scripts compare.
var canonical = func() cbor.EncMode {
	mode, err := cbor.EncOptions{Sort: cbor.SortBytewiseLexical}.EncMode()
	if err != nil {
		panic(err) // the options are fixed
	}
	return mode
}()

func endedOf(op operation.Operation) ended {
	e := ended{
		Doc: docOf(op.Accepted), Seq: op.Seq, Deadline: op.Deadline.UnixMilli() - op.Seq/1000,
		Updated: op.UpdatedAt.UnixMicro() - op.Seq, Failed: op.Status == operation.Failed,
	}
	e.Doc.Scope, e.Doc.Fingerprint = "", "" // its row has a life of its own
	if op.Attempted != len(op.Attempts) {
		e.Attempted = &op.Attempted
	}
	for _, a := range op.Attempts {
		r := endedRow{taggedRow: taggedRow(rowOf(a)), ID: a.ID, Unknown: a.Unknown}
		r.Start -= op.Seq
		if len(e.Doc.Trace) == traceSize && bytes.Equal(r.Trace, e.Doc.Trace[1:17]) {
			r.Trace = []byte(ofRequest)
		}
		e.Rows = append(e.Rows, r)
	}
	return e
}

func (e ended) operation() (operation.Operation, error) {
	a, err := e.Doc.accepted()
	if err != nil {
		return operation.Operation{}, err
	}
	op := operation.Operation{
		Accepted:  a,
		Place:     operation.Place{Seq: e.Seq, Deadline: milli(e.Seq/1000 + e.Deadline)},
		UpdatedAt: micro(e.Seq + e.Updated), Status: operation.Succeeded, Attempted: len(e.Rows),
		Attempts: make([]operation.Attempt, 0, len(e.Rows)),
	}
	if e.Failed {
		op.Status = operation.Failed
	}
	if e.Attempted != nil {
		op.Attempted = *e.Attempted
	}
	for _, r := range e.Rows {
		r.Start += e.Seq
		if string(r.Trace) == ofRequest && len(e.Doc.Trace) == traceSize {
			r.Trace = e.Doc.Trace[1:17]
		}
		op.Attempts = append(op.Attempts, row(r.taggedRow).attempt(r.ID, op.ID, r.Unknown))
	}
	return op, nil
}
