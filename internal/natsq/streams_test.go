package natsq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

// TestEnsure_Defaults reads back what an installation gets that says nothing.
func TestEnsure_Defaults(t *testing.T) {
	t.Parallel()
	// The default bounds are larger than what a test's server offers by itself.
	server := testenv.StartNATS(t, fmt.Sprintf("jetstream { store_dir: %q, max_file_store: 64GB }", t.TempDir()))
	c := connect(t, server.URL())
	require.NoError(t, natsq.Ensure(t.Context(), c.js, natsq.Config{}))
	for _, want := range []struct {
		name     string
		subjects []string
		age      time.Duration
		bytes    int64
	}{
		{natsq.StreamOperations, []string{"operation.accepted.>"}, 48 * time.Hour, 4 << 30},
		{
			natsq.StreamEvents, []string{
				"operation.attempted", "operation.succeeded", "operation.failed",
				"operation.attempted.batch", "operation.succeeded.batch", "operation.failed.batch",
			},
			45 * 24 * time.Hour, 16 << 30,
		},
		{natsq.StreamDead, []string{"operation.dead"}, 30 * 24 * time.Hour, 256 << 20},
	} {
		s, err := c.js.Stream(t.Context(), want.name)
		require.NoError(t, err)
		got := s.CachedInfo().Config
		require.Equal(t, want.subjects, got.Subjects, want.name)
		require.Equal(t, want.age, got.MaxAge, want.name)
		require.Equal(t, want.bytes, got.MaxBytes, want.name)
		require.Equal(t, jetstream.LimitsPolicy, got.Retention, want.name)
		require.Equal(t, jetstream.FileStorage, got.Storage, want.name)
		require.Equal(t, jetstream.S2Compression, got.Compression, want.name)
		require.Equal(t, jetstream.DiscardNew, got.Discard, want.name)
		require.Equal(t, 1, got.Replicas, want.name)
		require.EqualValues(t, -1, got.MaxMsgs, want.name)
		require.EqualValues(t, -1, got.MaxMsgsPerSubject, want.name)
	}

	got := c.consumer(t).Config
	require.Equal(t, []string{"operation.accepted.quiet", "operation.accepted.quiet.batch"}, got.FilterSubjects)
	require.Equal(t, jetstream.AckExplicitPolicy, got.AckPolicy)
	require.Equal(t, jetstream.DeliverAllPolicy, got.DeliverPolicy)
	require.Equal(t, 30*time.Second, got.AckWait)
	require.Equal(t, -1, got.MaxDeliver, "a wake-up is never given up")
	require.Zero(t, got.InactiveThreshold, "the consumer stays when no worker is there")
}

// TestEnsure_DeadLettersAreOneEach: a message whose Term got lost comes back after
// AckWait, and must still be known by its id.
func TestEnsure_DeadLettersAreOneEach(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{0, time.Hour} {
		cfg := small
		cfg.AckWait = wait
		c := connect(t, testenv.NATS(t))
		require.NoError(t, natsq.Ensure(t.Context(), c.js, cfg))
		s, err := c.js.Stream(t.Context(), natsq.StreamDead)
		require.NoError(t, err)
		require.Greater(t, s.CachedInfo().Config.Duplicates, c.consumer(t).Config.AckWait)
	}
}

func TestEnsure_SameAgainChangesNothing(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
	created := c.consumer(t).Created
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	require.EqualValues(t, 1, c.messages(t, natsq.StreamOperations))
	require.Equal(t, created, c.consumer(t).Created)
	// The server counts what waits some time after the ack of a publish.
	require.Eventually(t, func() bool { return c.consumer(t).NumPending == 1 }, within, every)
}

func TestEnsure_BringsToTheNewConfiguration(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
	require.NoError(t, natsq.Ensure(t.Context(), c.js, natsq.Config{
		OperationsMaxAge: 72 * time.Hour, EventsMaxAge: 90 * 24 * time.Hour,
		OperationsMaxBytes: 80 << 20, EventsMaxBytes: 96 << 20, AckWait: time.Minute,
	}))
	for name, want := range map[string]struct {
		age   time.Duration
		bytes int64
	}{
		natsq.StreamOperations: {72 * time.Hour, 80 << 20},
		natsq.StreamEvents:     {90 * 24 * time.Hour, 96 << 20},
	} {
		s, err := c.js.Stream(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, want.age, s.CachedInfo().Config.MaxAge, name)
		require.Equal(t, want.bytes, s.CachedInfo().Config.MaxBytes, name)
	}
	require.Equal(t, time.Minute, c.consumer(t).Config.AckWait)
	require.EqualValues(t, 1, c.messages(t, natsq.StreamOperations), "what was there stays")
}

func TestEnsure_SeveralAtOnce(t *testing.T) {
	t.Parallel()
	// A process of its own: the server itself has a data race between two of these,
	// which the race detector would report as ours.
	url := testenv.StartNATS(t).URL()
	var all errgroup.Group
	for range 8 {
		c := connect(t, url)
		all.Go(func() error { return natsq.Ensure(t.Context(), c.js, small) })
	}
	require.NoError(t, all.Wait())
	c := connect(t, url)
	var names []string
	for name := range c.js.StreamNames(t.Context()).Name() {
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{natsq.StreamOperations, natsq.StreamEvents, natsq.StreamDead}, names)
	require.Equal(t, natsq.ConsumerQuiet, c.consumer(t).Name)
}

// TestEnsure_Replicas: the number reaches the server, which has no others here to
// copy to and refuses.
func TestEnsure_Replicas(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	cfg := small
	cfg.Replicas = 3
	err := natsq.Ensure(t.Context(), c.js, cfg)
	var api *jetstream.APIError
	require.ErrorAs(t, err, &api)
	require.EqualValues(t, 10074, api.ErrorCode, api.Description)
	require.ErrorContains(t, err, natsq.StreamOperations)
}

// TestHalf: of a new installation another program may have made one stream just now; that is not
// what is left of an old one.
func TestHalf(t *testing.T) {
	t.Parallel()
	for _, gone := range []string{natsq.StreamOperations, natsq.StreamEvents} {
		t.Run(gone, func(t *testing.T) {
			t.Parallel()
			c := connect(t, testenv.NATS(t))
			half := func() bool {
				is, err := natsq.Half(t.Context(), c.js)
				require.NoError(t, err)
				return is
			}
			require.False(t, half(), "nothing is there")
			require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
			require.NoError(t, c.js.DeleteStream(t.Context(), gone))
			require.False(t, half(), "nothing was ever written")
			require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
			require.NoError(t, c.pub.Accepted(t.Context(), message(1), false))
			require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, 1)))
			require.False(t, half(), "both are there")
			require.NoError(t, c.js.DeleteStream(t.Context(), gone))
			require.True(t, half())
		})
	}
}

func TestEnsure_NoServer(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	server.Kill()
	c := connect(t, server.URL())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Error(t, natsq.Ensure(ctx, c.js, small))
}

// TestExplain_NamesNATSAndNoCredential: what a program that waits shows is what it waits
// for, not the client's word for a buffer that it does not have.
func TestExplain_NamesNATSAndNoCredential(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t,
		`authorization { users: [{user: "us", password: "hunter2"}, {user: "any", password: "any"}] }`, "no_auth_user: any")
	addr := strings.TrimPrefix(server.URL(), "nats://")
	right, wrong := connect(t, "nats://us:hunter2@"+addr), connect(t, "nats://us:hunter3@"+addr)
	require.NoError(t, natsq.Explain(right.nc, natsq.Ensure(t.Context(), right.js, small)))
	require.ErrorIs(t, natsq.Explain(right.nc, context.DeadlineExceeded), context.DeadlineExceeded, "it is there, and slow")
	refused := func() error { return natsq.Explain(wrong.nc, natsq.Ensure(t.Context(), wrong.js, small)) }
	require.ErrorIs(t, refused(), natsq.ErrAway)
	require.Eventually(t, func() bool { return errors.Is(refused(), nats.ErrAuthorization) }, within, every, "and it says that it is refused")
	require.NotContains(t, refused().Error(), "hunter3")

	server.Kill()
	require.Eventually(t, func() bool { return !right.nc.IsConnected() }, within, every)
	err := natsq.Explain(right.nc, natsq.Ensure(t.Context(), right.js, small))
	require.ErrorIs(t, err, natsq.ErrAway)
	require.ErrorContains(t, err, "NATS is not connected (nats://"+addr+")")
	require.NotContains(t, err.Error(), "hunter2")
	require.NotContains(t, err.Error(), "buffer")
}

// TestConnect_ServerComesLater: programs may start before their server.
func TestConnect_ServerComesLater(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	server.Kill()
	c := connect(t, server.URL())
	require.False(t, c.pub.Connected())
	require.ErrorIs(t, c.pub.Accepted(t.Context(), message(1), true), natsq.ErrAway)

	require.NoError(t, server.Restart())
	require.Eventually(t, c.pub.Connected, within, every)
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
	require.EqualValues(t, 1, c.messages(t, natsq.StreamOperations))
}

func TestConnect_RefusesAnAddressThatIsNone(t *testing.T) {
	t.Parallel()
	_, err := natsq.Connect("nats://127.0.0.1:not-a-port", "test", quiet)
	require.ErrorContains(t, err, "natsq: connect")
}
