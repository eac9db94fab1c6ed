package egress

import (
	"io"
)

// Drain reads at most the given number of bytes of an answer's body and closes it,
// so that its connection can be used again. What was read is thrown away.
func Drain(body io.ReadCloser, most int64) {
	_, _ = io.CopyN(io.Discard, body, most)
	_ = body.Close()
}
