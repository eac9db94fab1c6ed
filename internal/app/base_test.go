package app

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/dirsync"
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

// No bucket is set back at a start to what it was made as.
func TestOpen_LeavesWhatAnOperatorRaised(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t)
	start := func() *Base {
		b := openBase(t, cfg, io.Discard)
		_, err := OpenWebhooks(t.Context(), b, cfg.Webhooks, 1)
		require.NoError(t, err)
		_, err = b.cursorKey(t.Context(), nil, 1)
		require.NoError(t, err)
		_, err = dirsync.OpenBook(t.Context(), b.JetStream, 1, b.Log)
		require.NoError(t, err)
		return b
	}
	b := start()
	raised := map[string]jetstream.StreamConfig{}
	for info := range b.JetStream.ListStreams(t.Context()).Info() {
		if strings.HasPrefix(info.Config.Name, "KV_") {
			s := info.Config
			s.MaxMsgsPerSubject, s.MaxBytes = 5, 8<<20
			made, err := b.JetStream.UpdateStream(t.Context(), s)
			require.NoError(t, err)
			raised[s.Name] = made.CachedInfo().Config
		}
	}
	require.Len(t, raised, 5)
	start()
	for name, want := range raised {
		s, err := b.JetStream.Stream(t.Context(), name)
		require.NoError(t, err)
		got := s.CachedInfo().Config
		require.Equal(t, want.MaxMsgsPerSubject, got.MaxMsgsPerSubject, name)
		require.Equal(t, want.MaxBytes, got.MaxBytes, name)
	}
}
