package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/egress"
	"writeback/pkg/operation"
)

// TestCauseOf_RepeatsNoAnswer: a cause says what went wrong, and nothing that a provider sent.
func TestCauseOf_RepeatsNoAnswer(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for _, tc := range []struct {
		cause error
		want  string
	}{
		{fmt.Errorf("broken: %w", textproto.ProtocolError("malformed MIME header line: planted")), "textproto.ProtocolError"},
		{errors.New("malformed HTTP response \"planted\""), "*errors.errorString"},
		{fmt.Errorf("planted: %w", dial), "dial tcp: connection refused"},
		{fmt.Errorf("planted: %w", &net.DNSError{Err: "no such host", Name: "api.example.com"}), "lookup api.example.com: no such host"},
		{fmt.Errorf("planted: %w", &egress.AddressError{Kind: "private"}), "egress: private addresses are not called"},
		{fmt.Errorf("planted: %w", context.DeadlineExceeded), "context deadline exceeded"},
		{fmt.Errorf("planted: %w", io.ErrUnexpectedEOF), "unexpected EOF"},
	} {
		require.Equal(t, tc.want, causeOf(&operation.Failure{Type: operation.ErrorNetwork, Err: tc.cause}))
	}
	ours := errors.Join(errNotMade, errors.New("the bucket is away"))
	require.Equal(t, ours.Error(), causeOf(&operation.Failure{Type: operation.ErrorNetwork, Err: ours}))
	ours = errors.New("panic: index out of range")
	require.Equal(t, ours.Error(), causeOf(&operation.Failure{Type: operation.ErrorTSP, Err: ours}))
}
