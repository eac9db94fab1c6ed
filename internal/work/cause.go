package work

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"writeback/pkg/operation"
)

// causeOf is what the log says of a failure's cause. What the transport says of an answer
// that it could not read may repeat that answer, so only errors that are known not to are shown.
func causeOf(f *operation.Failure) string {
	if f.Type != operation.ErrorNetwork || errors.Is(f, errNotMade) {
		return f.Err.Error() // ours
	}
	var dial *net.OpError
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var refused interface {
		error
		Refused() bool // by the guard of addresses
	}
	switch {
	case errors.As(f.Err, &refused):
		return refused.Error()
	case errors.As(f.Err, &dial):
		return dial.Error()
	case errors.As(f.Err, &name):
		return name.Error()
	case errors.As(f.Err, &certificate):
		return certificate.Error()
	}
	for _, known := range []error{errCallOver, errStopping, context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(f.Err, known) {
			return known.Error()
		}
	}
	return fmt.Sprintf("%T", innermost(f.Err))
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
