package cborlite

import (
	"fmt"
	"iter"
	"math"
	"unicode/utf8"
)

// Decoder reads values one after the other. After the first fault every method gives the
// zero value, and Close the fault, so that callers need to ask once. It takes memory for
// nothing but that fault: texts and bytes are parts of the input, and no count that the
// input claims is larger than what is there.
type Decoder struct {
	in  string
	at  int // what is before it has been read
	err error
}

// NewDecoder gives a Decoder of the whole input.
func NewDecoder(in string) Decoder { return Decoder{in: in} }

// Close gives the first fault. It is one if something is left.
func (d *Decoder) Close() error {
	if d.at < len(d.in) {
		d.fail("something after the end")
	}
	return d.err
}

// Failed reports whether there was a fault: then it is of no use to go on.
func (d *Decoder) Failed() bool { return d.err != nil }

// Int reads a whole number.
func (d *Decoder) Int() int64 {
	kind, n := d.head()
	switch {
	case n > math.MaxInt64:
		d.fail("a number of more than 64 bits")
	case kind == kindUint:
		return int64(n)
	case kind == kindNegInt:
		return ^int64(n)
	default:
		d.fail("no number")
	}
	return 0
}

// Bytes reads a byte string.
func (d *Decoder) Bytes() string { return d.take(d.want(kindBytes)) }

// Fill reads a byte string that fills b exactly.
func (d *Decoder) Fill(b []byte) {
	s := d.Bytes()
	if len(s) != len(b) {
		d.fail("bytes of another length")
		return
	}
	copy(b, s)
}

// Text reads a text, which must be UTF-8.
func (d *Decoder) Text() string {
	s := d.take(d.want(kindText))
	if !utf8.ValidString(s) {
		d.fail("a text that is not UTF-8")
		return ""
	}
	return s
}

// Null reads a null if there is one.
func (d *Decoder) Null() bool {
	is := d.next() == simpleNull
	if is {
		d.at++
	}
	return is
}

// IsBool reports whether a flag is next.
func (d *Decoder) IsBool() bool { return d.next() == simpleFalse || d.next() == simpleTrue }

// Bool reads a flag.
func (d *Decoder) Bool() bool {
	if !d.IsBool() {
		d.fail("no flag")
		return false
	}
	d.at++
	return d.in[d.at-1] == simpleTrue
}

// Array reads the beginning of an array and gives how many values follow.
func (d *Decoder) Array() int { return d.count(d.want(kindArray), 1) }

// Map reads the beginning of a map and gives how many pairs follow.
func (d *Decoder) Map() int { return d.count(d.want(kindMap), 2) }

// Fields reads a map with numbers for names, of which it gives those below 64, each at
// most once: the first counts. Whoever ranges over it reads or skips the value. All other
// values are skipped.
func (d *Decoder) Fields() iter.Seq[int64] {
	return func(yield func(int64) bool) {
		var seen uint64
		for range d.Map() {
			if d.next()&^31 == kindText {
				d.Text()
				d.Skip()
				continue
			}
			key := d.Int()
			if d.err != nil {
				return
			}
			if key < 0 || key > 63 || seen&(1<<key) != 0 {
				d.Skip()
				continue
			}
			seen |= 1 << key
			if !yield(key) {
				return
			}
		}
	}
}

// Skip reads a value of any kind. It goes by a count and not by depth: nothing that is
// nested deep can hurt.
func (d *Decoder) Skip() {
	for left := 1; left > 0 && d.err == nil; left-- {
		simple := d.next()
		switch kind, n := d.head(); kind {
		case kindBytes, kindText:
			d.take(n)
		case kindArray:
			left += d.count(n, 1)
		case kindMap:
			left += 2 * d.count(n, 2)
		case kindTag:
			d.fail("a tag")
		case kindSimple:
			if simple == kindSimple|oneByte && n < 32 {
				d.fail("a simple value in a long form")
			}
		}
	}
}

// next is the first byte of the next value. At the end it is one that begins none.
func (d *Decoder) next() byte {
	if d.at == len(d.in) {
		return 0xff
	}
	return d.in[d.at]
}

// want reads a head of this kind.
func (d *Decoder) want(kind byte) uint64 {
	got, n := d.head()
	if got != kind {
		d.fail("another kind of value")
		return 0
	}
	return n
}

// head reads the beginning of a value: its kind and the number that comes with it.
func (d *Decoder) head() (kind byte, n uint64) {
	first := d.next()
	kind, n = first&^31, uint64(first&31)
	size := 0
	if n > small {
		size = 1 << (n - oneByte)
	}
	if n > eightBytes || len(d.in)-d.at <= size {
		d.fail("a torn value, or one of indefinite length")
		return 0, 0
	}
	if size > 0 {
		n = 0
	}
	for _, c := range []byte(d.in[d.at+1 : d.at+1+size]) {
		n = n<<8 | uint64(c)
	}
	d.at += 1 + size
	return kind, n
}

// take reads n bytes.
func (d *Decoder) take(n uint64) string {
	if n > uint64(len(d.in)-d.at) {
		d.fail("a torn string")
		return ""
	}
	from := d.at
	d.at += int(n)
	return d.in[from:d.at]
}

// count gives n, if what is left can hold as many values of this size.
func (d *Decoder) count(n uint64, size int) int {
	if n > uint64((len(d.in)-d.at)/size) {
		d.fail("a count of more than there is")
		return 0
	}
	return int(n)
}

// fail keeps the first fault, after which nothing is left to be read.
func (d *Decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("cborlite: %s, before byte %d of %d", what, d.at, len(d.in))
	}
	d.at = len(d.in)
}
