package httpcall

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// maxRows is more rows than a list without pages can hold of real ones.
const maxRows = 100_000

// Rows reads a JSON list of everybody, and whether it is one whose every row is good. It
// reads row by row and ends at the first that is not, and after 100,000: a long list of
// nothing would take fifty times its length in memory.
func Rows[T any](body []byte, good func(T) bool) ([]T, bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // an id may not fit a float
	if begin, err := dec.Token(); err != nil || begin != json.Delim('[') {
		return nil, false
	}
	rows := []T{}
	for dec.More() {
		var row T
		if dec.Decode(&row) != nil || !good(row) || len(rows) == maxRows {
			return nil, false
		}
		rows = append(rows, row)
	}
	if end, err := dec.Token(); err != nil || end != json.Delim(']') {
		return nil, false
	}
	_, err := dec.Token()
	return rows, errors.Is(err, io.EOF)
}
