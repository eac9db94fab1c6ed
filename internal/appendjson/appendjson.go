// Package appendjson appends JSON to bytes, for those who write their values field by
// field: each function gives the bytes that encoding/json gives. It does not know what
// is written, and reads nothing.
package appendjson

import (
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Text appends a text with the escapes that json.Marshal makes, those meant for HTML
// pages included.
func Text[T ~string](b []byte, text T) []byte { return quote(b, string(text), &asIsHTML) }

// PlainText appends a text without the escapes meant for HTML pages.
func PlainText[T ~string](b []byte, text T) []byte { return quote(b, string(text), &asIs) }

// ID appends an id as a text.
func ID(b []byte, id uuid.UUID) []byte {
	b = hex.AppendEncode(append(b, '"'), id[:4])
	b = hex.AppendEncode(append(b, '-'), id[4:6])
	b = hex.AppendEncode(append(b, '-'), id[6:8])
	b = hex.AppendEncode(append(b, '-'), id[8:10])
	b = hex.AppendEncode(append(b, '-'), id[10:])
	return append(b, '"')
}

// Map appends a map as an object with its names in order, or null for a nil map. The
// names and the values are appended by name and value.
func Map[K ~string, V any](b []byte, m map[K]V, name func([]byte, K) []byte, value func([]byte, V) []byte) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	var few [16]K // most maps need no memory for their names
	names := few[:0]
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	b = append(b, '{')
	for i, k := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = value(append(name(b, k), ':'), m[k])
	}
	return append(b, '}')
}

// List appends a list, whose items are appended by item.
func List[T any](b []byte, items []T, item func([]byte, *T) []byte) []byte {
	b = append(b, '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = item(b, &items[i])
	}
	return append(b, ']')
}

// asIs and asIsHTML say which bytes stand for themselves in a text.
var asIs, asIsHTML = allBut(`"\`), allBut(`"\<>&`)

func allBut(escaped string) (table [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		table[c] = strings.IndexByte(escaped, c) < 0
	}
	return table
}

func quote(b []byte, text string, asIs *[256]bool) []byte {
	b = append(b, '"')
	from := 0 // what is before it has been appended
	for i := 0; i < len(text); {
		if asIs[text[i]] {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r >= utf8.RuneSelf && r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		b = escape(append(b, text[from:i]...), r)
		i += size
		from = i
	}
	return append(append(b, text[from:]...), '"')
}

// escape appends the escape of a character of at most 16 bits.
func escape(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return hex.AppendEncode(append(b, `\u`...), []byte{byte(r >> 8), byte(r)})
}
