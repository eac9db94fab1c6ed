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

// What reads a whole bucket or stream has no bound on all of it: a try that is cut off would
// start from zero, for ever.
func TestBase_PersistsWithWhatTakesLong(t *testing.T) {
	t.Parallel()
	b := openBase(t, workerSettings(t), io.Discard)
	tries := 0
	require.NoError(t, b.persist(t.Context(), "something long", func(ctx context.Context) error {
		_, bounded := ctx.Deadline()
		require.False(t, bounded)
		if tries++; tries == 1 {
			return errors.New("not yet")
		}
		return nil
	}))
	require.Equal(t, 2, tries)
	require.NoError(t, b.await(t.Context(), "something short", func(ctx context.Context) error {
		_, bounded := ctx.Deadline()
		require.True(t, bounded)
		return nil
	}))
}
