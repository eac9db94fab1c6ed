package redisstore

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"writeback/internal/cborlite"
	"writeback/pkg/operation"
)

// form appends a CBOR map with numbers for names, which must rise: then the same values
// give the same bytes. Its methods that begin with some leave out what is zero.
type form struct {
	b     []byte
	at    int // where the map begins
	pairs int
}

func begin(b []byte) form { return form{b: cborlite.AppendMap(b, 0), at: len(b)} }

// end puts the count in: the beginning is as long as it was, since no form has 24 pairs.
func (f *form) end() []byte {
	cborlite.AppendMap(f.b[:f.at], f.pairs)
	return f.b
}

// name begins a pair. Its value must follow.
func (f *form) name(name int) {
	f.b = cborlite.AppendInt(f.b, name)
	f.pairs++
}

func (f *form) number(name int, n int64) {
	f.name(name)
	f.b = cborlite.AppendInt(f.b, n)
}

func (f *form) someNumber(name, n int) {
	if n != 0 {
		f.number(name, int64(n))
	}
}

func (f *form) someFlag(name int, flag bool) {
	if flag {
		f.name(name)
		f.b = cborlite.AppendBool(f.b, true)
	}
}

func (f *form) bytes(name int, v []byte) {
	f.name(name)
	f.b = cborlite.AppendBytes(f.b, v)
}

func (f *form) someID(name int, id *uuid.UUID) {
	if id != nil {
		f.bytes(name, id[:])
	}
}

func (f *form) someText(name int, text string) {
	if text != "" {
		f.name(name)
		f.b = cborlite.AppendText(f.b, text)
	}
}

// changes writes names and values in turn, in the contract's order.
func (f *form) changes(name int, c operation.Changes) {
	fields := c.Fields()
	if len(fields) == 0 {
		return
	}
	f.name(name)
	f.b = cborlite.AppendArray(f.b, 2*len(fields))
	for _, field := range fields {
		f.b = cborlite.AppendText(f.b, field)
		switch v := c[field].Any().(type) {
		case string:
			f.b = cborlite.AppendText(f.b, v)
		case bool:
			f.b = cborlite.AppendBool(f.b, v)
		default:
			f.b = cborlite.AppendNull(f.b)
		}
	}
}

// fields writes the names of fields, if there are any.
func (f *form) fields(name int, fields []operation.Field) {
	if len(fields) == 0 {
		return
	}
	f.name(name)
	f.b = cborlite.AppendArray(f.b, len(fields))
	for _, field := range fields {
		f.b = cborlite.AppendText(f.b, field)
	}
}

// header writes the headers, if there are any, in the order of their bytes: the length
// of a text is before it, so the short names are first.
func (f *form) header(name int, header map[string]string) {
	if len(header) == 0 {
		return
	}
	f.name(name)
	f.b = cborlite.AppendMap(f.b, len(header))
	names := slices.AppendSeq(make([]string, 0, headerRoom), maps.Keys(header))
	slices.SortFunc(names, func(x, y string) int { return cmp.Or(len(x)-len(y), strings.Compare(x, y)) })
	for _, k := range names {
		f.b = cborlite.AppendText(cborlite.AppendText(f.b, k), header[k])
	}
}
