// Package cborlite writes and reads the part of CBOR (RFC 8949) that our own records
// need, for those who write their values field by field: whole numbers, bytes, texts,
// flags, null, arrays, and maps. It knows no forms and uses no reflection.
//
// What is appended is the shortest form, as every deterministic encoding has it. The
// Decoder refuses tags and indefinite lengths, which nothing here can write.
package cborlite

import "encoding/binary"

// The kinds of values, as the upper three bits of their first byte have them.
const (
	kindUint   = 0 << 5
	kindNegInt = 1 << 5
	kindBytes  = 2 << 5
	kindText   = 3 << 5
	kindArray  = 4 << 5
	kindMap    = 5 << 5
	kindTag    = 6 << 5
	kindSimple = 7 << 5 // and floats

	simpleFalse = kindSimple | 20
	simpleTrue  = kindSimple | 21
	simpleNull  = kindSimple | 22

	// In the lower five bits: up to here the number itself, then how long it is.
	small      = 23
	oneByte    = 24
	twoBytes   = 25
	fourBytes  = 26
	eightBytes = 27
)

// AppendInt appends a whole number.
func AppendInt[T ~int | ~int64](b []byte, n T) []byte {
	if n < 0 {
		return appendHead(b, kindNegInt, uint64(^n))
	}
	return appendHead(b, kindUint, uint64(n))
}

// AppendBytes appends a byte string.
func AppendBytes(b, v []byte) []byte { return append(appendHead(b, kindBytes, uint64(len(v))), v...) }

// AppendText appends a text, as it is: only the Decoder looks at its characters.
func AppendText[T ~string](b []byte, text T) []byte {
	return append(appendHead(b, kindText, uint64(len(text))), text...)
}

// AppendBool appends a flag.
func AppendBool(b []byte, flag bool) []byte {
	if flag {
		return append(b, simpleTrue)
	}
	return append(b, simpleFalse)
}

// AppendNull appends a null.
func AppendNull(b []byte) []byte { return append(b, simpleNull) }

// AppendArray begins an array of n values, which must follow.
func AppendArray(b []byte, n int) []byte { return appendHead(b, kindArray, uint64(n)) }

// AppendMap begins a map of n pairs, which must follow: each a key and its value. With
// fewer than 24 pairs this is one byte.
func AppendMap(b []byte, n int) []byte { return appendHead(b, kindMap, uint64(n)) }

func appendHead(b []byte, kind byte, n uint64) []byte {
	switch {
	case n <= small:
		return append(b, kind|byte(n))
	case n < 1<<8:
		return append(b, kind|oneByte, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, kind|twoBytes), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, kind|fourBytes), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, kind|eightBytes), n)
}
