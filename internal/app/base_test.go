package app

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// A process whose connection to NATS is closed for good ends, so that another takes its
// place: when it runs, and when it starts.
func TestBase_EndsWithItsConnectionToNATS(t *testing.T) {
	t.Parallel()
	b := openBase(t, workerSettings(t), io.Discard)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(t.Context()) }()
	b.NATS.Close()
	require.ErrorIs(t, <-ended, errNATSClosed)
	require.ErrorIs(t, b.Run(t.Context()), errNATSClosed, "it was closed before")

	cause := errors.New("no answer")
	err := b.await(t.Context(), "something", func(context.Context) error { return cause })
	require.ErrorIs(t, err, errNATSClosed)
	require.ErrorIs(t, err, cause)
}
