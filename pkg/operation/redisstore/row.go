package redisstore

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"writeback/internal/cborlite"
	"writeback/pkg/operation"
)

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
