package redisstore

import (
	"bytes"
	_ "embed" // the dictionary
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/klauspost/compress/s2"

	"writeback/internal/cborlite"
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

// An ended operation in its page. A number is never used again. The same operation gives
// the same bytes, by which scripts compare.
const (
	pageDoc      = 1
	pageSeq      = 2
	pageDeadline = 3 // ms after the seq
	pageUpdated  = 4 // µs after the seq
	pageFailed   = 5
	// pageAttempted is left out where it is the number of rows.
	pageAttempted = 6
	pageRows      = 7 // their starts are in µs after the seq
)

// ofRequest stands for the trace id of the request.
const ofRequest = "\x00"

// maxPaged bounds what a record may claim to be without compression. A message holds
// less, and what is in a page has been in one.
const maxPaged = 16 << 20

var errPage = errors.New("redisstore: a page holds a record of an unknown form")

// encodePage writes an ended operation for its page.
func encodePage(op operation.Operation) []byte {
	raw := appendEnded(make([]byte, 0, pagedRoom), &op)
	b := make([]byte, 1+s2.MaxEncodedLen(len(raw)))
	b[0] = pageVersion
	return b[:1+len(pageDict.Encode(b[1:], raw))]
}

// pagedRoom is enough for most.
const pagedRoom = 1 << 10

func appendEnded(b []byte, op *operation.Operation) []byte {
	f := begin(b)
	f.name(pageDoc)
	f.b = appendDoc(f.b, &op.Accepted, nil) // the row of its key has a life of its own
	f.number(pageSeq, op.Seq)
	f.number(pageDeadline, op.Deadline.UnixMilli()-op.Seq/1000)
	f.number(pageUpdated, op.UpdatedAt.UnixMicro()-op.Seq)
	f.someFlag(pageFailed, op.Status == operation.Failed)
	if op.Attempted != len(op.Attempts) {
		f.number(pageAttempted, int64(op.Attempted))
	}
	if len(op.Attempts) > 0 {
		f.name(pageRows)
		f.b = cborlite.AppendArray(f.b, len(op.Attempts))
	}
	trace := traceBytes(op.TraceParent)
	for _, a := range op.Attempts {
		r := rowOf(a)
		r.Start -= op.Seq
		if trace != nil && bytes.Equal(r.Trace, trace[1:17]) {
			r.Trace = []byte(ofRequest)
		}
		in := begin(f.b)
		in.row(&r)
		in.bytes(rowID, a.ID[:])
		in.someFlag(rowUnknown, a.Unknown)
		f.b = in.end()
	}
	return f.end()
}

// decodePage reads a record of a page.
func decodePage(b []byte) (Record, error) {
	if len(b) == 0 || b[0] != pageVersion {
		return Record{}, errPage
	}
	if n, err := s2.DecodedLen(b[1:]); err != nil || n > maxPaged {
		return Record{}, errPage
	}
	raw, err := pageDict.Decode(nil, b[1:])
	if err != nil {
		return Record{}, fmt.Errorf("redisstore: page: %w", err)
	}
	op, err := decodeEnded(string(raw))
	if err != nil {
		return Record{}, fmt.Errorf("redisstore: page: %w", err)
	}
	return Record{Operation: op, Accepted: true, Rows: len(op.Attempts), Final: true, RowVersion: "0"}, nil
}

// pagedRow is a row with its id.
type pagedRow struct {
	row
	id      uuid.UUID
	unknown bool
}

// rowsRoom is enough for most.
const rowsRoom = 8

func decodeEnded(s string) (operation.Operation, error) {
	op := operation.Operation{Accepted: operation.Accepted{Changes: operation.Changes{}}, Status: operation.Succeeded}
	var (
		d                 = cborlite.NewDecoder(s)
		trace             string
		deadline, updated int64
		counted           bool
		rows              []pagedRow
	)
	for name := range d.Fields() {
		switch name {
		case pageDoc:
			op.Accepted, trace = readDoc(&d)
		case pageSeq:
			op.Seq = d.Int()
		case pageDeadline:
			deadline = d.Int()
		case pageUpdated:
			updated = d.Int()
		case pageFailed:
			if d.Bool() {
				op.Status = operation.Failed
			}
		case pageAttempted:
			op.Attempted, counted = int(d.Int()), true
		case pageRows:
			n := d.Array()
			rows = make([]pagedRow, 0, min(n, rowsRoom))
			for ; n > 0 && !d.Failed(); n-- {
				rows = append(rows, readPagedRow(&d))
			}
		default:
			d.Skip()
		}
	}
	if err := d.Close(); err != nil {
		return operation.Operation{}, err
	}
	op.Deadline, op.UpdatedAt = milli(op.Seq/1000+deadline), micro(op.Seq+updated)
	if !counted {
		op.Attempted = len(rows)
	}
	op.Attempts = make([]operation.Attempt, 0, len(rows))
	for _, r := range rows {
		r.Start += op.Seq
		if string(r.Trace) == ofRequest && len(trace) == traceSize {
			r.Trace = []byte(trace[1:17])
		}
		op.Attempts = append(op.Attempts, r.attempt(r.id, op.ID, r.unknown))
	}
	return op, nil
}

func readPagedRow(d *cborlite.Decoder) (r pagedRow) {
	for name := range d.Fields() {
		switch {
		case r.read(d, name):
		case name == rowID:
			d.Fill(r.id[:])
		case name == rowUnknown:
			r.unknown = d.Bool()
		default:
			d.Skip()
		}
	}
	return r
}

// pageField names a record in its page.
func pageField(id uuid.UUID) string { return string(id[:10]) + string(id[15:]) }

func pageName(id uuid.UUID) string { return id.String()[24:34] }
