package redisstore

import (
	"bytes"
	_ "embed" // the dictionary
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"
	"github.com/klauspost/compress/s2"

	"writeback/pkg/operation"
)

// An ended operation whose events are out lies in a page: a hash with one time to
// live for all its records, named by bits of the operation id. A record there is a
// version byte and a compressed CBOR map.

// pageVersion names the form and the dictionary. Readers keep the old ones.
const pageVersion = 1

//go:embed page.dict
var pageSamples []byte

var pageDict = s2.MakeDict(pageSamples, nil)

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

// endedRow is a row with its id. Its Start is in µs after the operation's Seq.
type endedRow struct {
	row
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

// ofRequest stands for the trace id of the request.
var ofRequest = []byte{0}

var errPage = errors.New("redisstore: a page holds a record of an unknown form")

// encodePage writes an ended operation for its page.
func encodePage(op operation.Operation) ([]byte, error) {
	e := ended{
		Doc: docOf(op.Accepted), Seq: op.Seq, Deadline: op.Deadline.UnixMilli() - op.Seq/1000,
		Updated: op.UpdatedAt.UnixMicro() - op.Seq, Failed: op.Status == operation.Failed,
	}
	e.Doc.Scope, e.Doc.Fingerprint = "", "" // its row has a life of its own
	if op.Attempted != len(op.Attempts) {
		e.Attempted = &op.Attempted
	}
	for _, a := range op.Attempts {
		r := endedRow{row: rowOf(a), ID: a.ID, Unknown: a.Unknown}
		r.Start -= op.Seq
		if len(e.Doc.Trace) == traceSize && bytes.Equal(r.Trace, e.Doc.Trace[1:17]) {
			r.Trace = ofRequest
		}
		e.Rows = append(e.Rows, r)
	}
	raw, err := canonical.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("redisstore: page: %w", err)
	}
	return append([]byte{pageVersion}, pageDict.Encode(nil, raw)...), nil
}

// decodePage reads a record of a page.
func decodePage(b []byte) (Record, error) {
	if len(b) == 0 || b[0] != pageVersion {
		return Record{}, errPage
	}
	raw, err := pageDict.Decode(nil, b[1:])
	if err != nil {
		return Record{}, fmt.Errorf("redisstore: page: %w", err)
	}
	var e ended
	if err := cbor.Unmarshal(raw, &e); err != nil {
		return Record{}, fmt.Errorf("redisstore: page: %w", err)
	}
	a, err := e.Doc.accepted()
	if err != nil {
		return Record{}, err
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
		if bytes.Equal(r.Trace, ofRequest) && len(e.Doc.Trace) == traceSize {
			r.Trace = e.Doc.Trace[1:17]
		}
		op.Attempts = append(op.Attempts, r.attempt(r.ID, op.ID, r.Unknown))
	}
	return Record{Operation: op, Accepted: true, Rows: len(e.Rows), Final: true, RowVersion: "0"}, nil
}

// pageField names a record in its page.
func pageField(id uuid.UUID) string { return string(id[:10]) + string(id[15:]) }

func pageName(id uuid.UUID) string { return id.String()[24:34] }
