package cborlite_test

import (
	"math"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/internal/cborlite"
)

// edges are where a number gets longer.
var edges = []int64{
	0, 1, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, math.MaxInt64,
	-1, -24, -25, -256, -257, -65536, -65537, -1 << 32, -1<<32 - 1, math.MinInt64,
}

func library(t require.TestingT, v any) string {
	b, err := cbor.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// both writes a value as the library does and reads it again.
func both[T any](t require.TestingT, v T, write func([]byte, T) []byte, read func(*cborlite.Decoder) T) {
	s := library(t, v)
	require.Equal(t, "before "+s, string(write([]byte("before "), v)))
	d := cborlite.NewDecoder(s)
	require.Equal(t, v, read(&d))
	require.NoError(t, d.Close())
	d = cborlite.NewDecoder(s)
	d.Skip()
	require.NoError(t, d.Close())
	for i := range min(len(s), 300) {
		d = cborlite.NewDecoder(s[:i])
		read(&d)
		require.Error(t, d.Close())
	}
}

func ints(t require.TestingT, n int64) {
	both(t, n, cborlite.AppendInt, (*cborlite.Decoder).Int)
}

func texts(t require.TestingT, s string) {
	both(t, s, cborlite.AppendText, (*cborlite.Decoder).Text)
	both(t, []byte(s), cborlite.AppendBytes, func(d *cborlite.Decoder) []byte { return []byte(d.Bytes()) })
	both(t, []byte(s), cborlite.AppendBytes, func(d *cborlite.Decoder) []byte {
		b := make([]byte, len(s))
		d.Fill(b)
		return b
	})
}

func TestValues_AreTheLibrarys(t *testing.T) {
	t.Parallel()
	for _, n := range edges {
		ints(t, n)
		if n >= 0 && n <= 1<<17 {
			texts(t, strings.Repeat("x", int(n)))
			both(t, make([]bool, n), func(b []byte, v []bool) []byte {
				b = cborlite.AppendArray(b, len(v))
				for _, flag := range v {
					b = cborlite.AppendBool(b, flag)
				}
				return b
			}, func(d *cborlite.Decoder) []bool {
				v := make([]bool, d.Array())
				for i := range v {
					v[i] = d.Bool()
				}
				return v
			})
		}
	}
	both(t, true, cborlite.AppendBool, (*cborlite.Decoder).Bool)
	both(t, any(nil), func(b []byte, _ any) []byte { return cborlite.AppendNull(b) }, func(d *cborlite.Decoder) any {
		if !d.Null() {
			d.Skip() // a fault, where it is torn
		}
		return nil
	})
	both(t, map[string]int64{"é": -1}, func(b []byte, m map[string]int64) []byte {
		b = cborlite.AppendMap(b, len(m))
		return cborlite.AppendInt(cborlite.AppendText(b, "é"), m["é"])
	}, func(d *cborlite.Decoder) map[string]int64 {
		m := map[string]int64{}
		for range d.Map() {
			name := d.Text()
			m[name] = d.Int()
		}
		return m
	})
	rapid.Check(t, func(t *rapid.T) {
		ints(t, rapid.Int64().Draw(t, "n"))
		texts(t, rapid.String().Draw(t, "text"))
	})
}

func TestFields_TheFirstCountsAndOnlyNumbersBelow64(t *testing.T) {
	t.Parallel()
	d := cborlite.NewDecoder("\xa8\x05\x01\x05\x02\x61a\x03\x20\x04\x18\x3f\x05\x18\x40\x06\x00\x07\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x08")
	got := map[int64]int64{}
	for name := range d.Fields() {
		got[name] = d.Int()
	}
	require.NoError(t, d.Close())
	require.Equal(t, map[int64]int64{5: 1, 63: 5, 0: 7}, got)
}

func TestDecoder_Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   string
		read func(*cborlite.Decoder)
	}{
		"a number above int64":        {"\x1b\x80\x00\x00\x00\x00\x00\x00\x00", func(d *cborlite.Decoder) { d.Int() }},
		"a number below int64":        {"\x3b\x80\x00\x00\x00\x00\x00\x00\x00", func(d *cborlite.Decoder) { d.Int() }},
		"a text as a number":          {"\x61a", func(d *cborlite.Decoder) { d.Int() }},
		"bytes as a text":             {"\x41a", func(d *cborlite.Decoder) { d.Text() }},
		"a text that is not UTF-8":    {"\x61\xff", func(d *cborlite.Decoder) { d.Text() }},
		"too few bytes":               {"\x41a", func(d *cborlite.Decoder) { d.Fill(make([]byte, 2)) }},
		"too many bytes":              {"\x42aa", func(d *cborlite.Decoder) { d.Fill(make([]byte, 1)) }},
		"a flag in a long form":       {"\xf8\x15", func(d *cborlite.Decoder) { d.Bool() }},
		"a half float as a flag":      {"\xf9\x00\x15", func(d *cborlite.Decoder) { d.Bool() }},
		"a map of more than there is": {"\xa2\x00\x00\x00", func(d *cborlite.Decoder) { d.Map() }},
		"a key that is a flag": {"\xa1\xf5\x00", func(d *cborlite.Decoder) {
			for range d.Fields() {
				d.Skip()
			}
		}},
		"a key that is not UTF-8": {"\xa1\x61\xff\x00", func(d *cborlite.Decoder) {
			for range d.Fields() {
				d.Skip()
			}
		}},
		"something after the end":  {"\x00\x00", func(d *cborlite.Decoder) { d.Int() }},
		"a tag":                    {"\xc1\x00", (*cborlite.Decoder).Skip},
		"an indefinite length":     {"\x9f\xff", (*cborlite.Decoder).Skip},
		"a reserved head":          {"\x1c", (*cborlite.Decoder).Skip},
		"a simple value, too long": {"\xf8\x15", (*cborlite.Decoder).Skip},
		"a torn number":            {"\x19\x00", (*cborlite.Decoder).Skip},
		"nothing":                  {"", (*cborlite.Decoder).Skip},
	} {
		d := cborlite.NewDecoder(c.in)
		c.read(&d)
		require.Error(t, d.Close(), name)
	}
}

// TestSkip_HowDeepDoesNotMatter: a stack would end before a million arrays do.
func TestSkip_HowDeepDoesNotMatter(t *testing.T) {
	t.Parallel()
	d := cborlite.NewDecoder(strings.Repeat("\x81", 1e6) + "\x00")
	d.Skip()
	require.NoError(t, d.Close())
}

// FuzzSkip: what we skip, the library takes for one value too.
func FuzzSkip(f *testing.F) {
	f.Add([]byte(library(f, map[string]any{"a": []any{1, -1, nil, true, 1.5, []byte("b")}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := cborlite.NewDecoder(string(b))
		d.Skip()
		if d.Close() != nil {
			return
		}
		mode, err := cbor.DecOptions{MaxNestedLevels: 65535}.DecMode()
		require.NoError(t, err)
		require.NoError(t, mode.Wellformed(b))
	})
}
