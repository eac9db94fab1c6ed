package natsq_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
)

func (c client) stream(t *testing.T, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := c.js.Stream(t.Context(), name)
	require.NoError(t, err)
	return s.CachedInfo().Config
}

// alter changes a stream as an operator does, by hand.
func (c client) alter(t *testing.T, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	cfg := c.stream(t, name)
	change(&cfg)
	_, err := c.js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
}

func TestEnsure_NeverNarrows(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	c.alter(t, natsq.StreamOperations, func(s *jetstream.StreamConfig) {
		s.MaxAge, s.MaxBytes = 100*time.Hour, 96<<20
		s.Subjects = append(s.Subjects, "operation.extra")
		s.DenyDelete, s.AllowDirect = true, true
		s.Metadata["team"] = "fleet"
	})
	c.alter(t, natsq.StreamEvents, func(s *jetstream.StreamConfig) { s.MaxAge, s.MaxBytes = 0, -1 })
	before := map[string]jetstream.StreamConfig{}
	for _, name := range []string{natsq.StreamOperations, natsq.StreamEvents, natsq.StreamDead} {
		before[name] = c.stream(t, name)
	}
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	for name, want := range before {
		require.Equal(t, want, c.stream(t, name), name)
	}
}

// TestEnsure_WidensWhatIsNarrower: each of these would lose or refuse messages.
func TestEnsure_WidensWhatIsNarrower(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	want := c.stream(t, natsq.StreamOperations)
	c.alter(t, natsq.StreamOperations, func(s *jetstream.StreamConfig) {
		s.MaxAge, s.MaxBytes, s.MaxMsgs, s.MaxMsgsPerSubject, s.MaxMsgSize = time.Hour, 1<<20, 10, 5, 4096
		s.Discard, s.Subjects = jetstream.DiscardOld, []string{natsq.SubjectQuiet}
		s.Metadata = nil
	})
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	require.Equal(t, want, c.stream(t, natsq.StreamOperations))
}

// TestEnsure_Version: it is written, and nothing is touched that a newer program made.
func TestEnsure_Version(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), c.js, natsq.WebhookConfig{MaxBytes: 8 << 20}))
	ours := strconv.Itoa(natsq.ProvisionVersion)
	for _, name := range []string{
		natsq.StreamOperations, natsq.StreamEvents, natsq.StreamDead, natsq.StreamDeliveries, natsq.StreamDeliveryEvents,
	} {
		require.Equal(t, ours, c.stream(t, name).Metadata[natsq.ProvisionKey], name)
	}
	require.Equal(t, ours, c.consumer(t).Config.Metadata[natsq.ProvisionKey])

	newer := strconv.Itoa(natsq.ProvisionVersion + 1)
	c.alter(t, natsq.StreamOperations, func(s *jetstream.StreamConfig) {
		s.Description, s.Metadata[natsq.ProvisionKey] = "of a newer program", newer
	})
	consumer := c.consumer(t).Config
	consumer.Description, consumer.MaxAckPending, consumer.Metadata[natsq.ProvisionKey] = "of a newer program", 7, newer
	_, err := c.js.UpdateConsumer(t.Context(), natsq.StreamOperations, consumer)
	require.NoError(t, err)

	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	require.Equal(t, "of a newer program", c.stream(t, natsq.StreamOperations).Description)
	require.Equal(t, newer, c.stream(t, natsq.StreamOperations).Metadata[natsq.ProvisionKey])
	require.Equal(t, 7, c.consumer(t).Config.MaxAckPending)
}

// TestEnsure_ChangesNothingTwice counts the server's own notices of updates.
func TestEnsure_ChangesNothingTwice(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	webhooks := natsq.WebhookConfig{MaxBytes: 8 << 20}
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), c.js, webhooks))
	notices, err := c.nc.SubscribeSync("$JS.EVENT.ADVISORY.>")
	require.NoError(t, err)
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), c.js, webhooks))
	require.NoError(t, c.nc.Flush())
	for {
		n, _, err := notices.Pending()
		require.NoError(t, err)
		if n == 0 {
			break
		}
		m, err := notices.NextMsg(time.Second)
		require.NoError(t, err)
		require.NotContains(t, m.Subject, "UPDATED")
		require.NotContains(t, m.Subject, "CREATED")
	}
}

// TestEnsure_NoRoomToWiden: the stream works as it is, so the program starts and says it.
func TestEnsure_NoRoomToWiden(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t, fmt.Sprintf("jetstream { store_dir: %q, max_file_store: 800MB }", t.TempDir()))
	c := ready(t, server.URL())
	c.alter(t, natsq.StreamOperations, func(s *jetstream.StreamConfig) { s.MaxMsgs = 10 })
	var log bytes.Buffer
	cfg := small
	cfg.Log, cfg.OperationsMaxBytes = slog.New(slog.NewTextHandler(&log, nil)), 64<<30
	require.NoError(t, natsq.Ensure(t.Context(), c.js, cfg))
	require.Contains(t, log.String(), "cannot be widened")
	require.Contains(t, log.String(), natsq.StreamOperations)
	got := c.stream(t, natsq.StreamOperations)
	require.Equal(t, small.OperationsMaxBytes, got.MaxBytes)
	require.EqualValues(t, -1, got.MaxMsgs, "what needs no room is done")

	cfg.Replicas = 3
	cfg.OperationsMaxBytes = small.OperationsMaxBytes
	require.NoError(t, natsq.Ensure(t.Context(), c.js, cfg))
	require.Equal(t, 1, c.stream(t, natsq.StreamOperations).Replicas)
}

// TestEnsure_NoRoomAtAll: it says for how much there is none.
func TestEnsure_NoRoomAtAll(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t, fmt.Sprintf("jetstream { store_dir: %q, max_file_store: 1MB }", t.TempDir()))
	err := natsq.Ensure(t.Context(), connect(t, server.URL()).js, natsq.Config{OperationsMaxBytes: 2 << 20})
	require.ErrorContains(t, err, natsq.StreamOperations+": 2097152 bytes in 1 copies were asked for: ")
	require.ErrorContains(t, err, "insufficient storage")
}

// TestOpenBucket_NeverNarrows: what an operator has raised, or bounded altogether, stays; what
// is narrower, or would lose entries, is widened.
func TestOpenBucket_NeverNarrows(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	want := jetstream.KeyValueConfig{Bucket: "some", Description: "entries", History: 2, Storage: jetstream.FileStorage, Replicas: 1}
	const stream = "KV_some"
	open := func() {
		kv, err := natsq.OpenBucket(t.Context(), c.js, want, nil)
		require.NoError(t, err)
		_, err = kv.PutString(t.Context(), "key", "value")
		require.NoError(t, err)
	}
	open()
	require.EqualValues(t, 2, c.stream(t, stream).MaxMsgsPerSubject)
	c.alter(t, stream, func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject, s.MaxBytes = 5, 8<<20 })
	open()
	require.EqualValues(t, 5, c.stream(t, stream).MaxMsgsPerSubject)
	require.EqualValues(t, 8<<20, c.stream(t, stream).MaxBytes)
	before := c.stream(t, stream)
	open()
	require.Equal(t, before, c.stream(t, stream))

	c.alter(t, stream, func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject, s.MaxAge, s.MaxMsgs = 1, time.Hour, 10 })
	open()
	got := c.stream(t, stream)
	require.EqualValues(t, 2, got.MaxMsgsPerSubject)
	require.Zero(t, got.MaxAge)
	require.EqualValues(t, -1, got.MaxMsgs)
}

// TestOpenBucket_NoRoomToWiden: one server cannot hold three replicas, and the bucket works as it is.
func TestOpenBucket_NoRoomToWiden(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	want := jetstream.KeyValueConfig{Bucket: "some", Storage: jetstream.FileStorage, Replicas: 1}
	_, err := natsq.OpenBucket(t.Context(), c.js, want, nil)
	require.NoError(t, err)
	var log bytes.Buffer
	want.Replicas = 3
	kv, err := natsq.OpenBucket(t.Context(), c.js, want, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	_, err = kv.PutString(t.Context(), "key", "value")
	require.NoError(t, err)
	require.Contains(t, log.String(), "cannot be widened")
}

// TestEnsure_RefusesWhatLosesMessages: neither can be changed in place.
func TestEnsure_RefusesWhatLosesMessages(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]jetstream.StreamConfig{
		"retention": {Retention: jetstream.WorkQueuePolicy},
		"storage":   {Storage: jetstream.MemoryStorage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, testenv.NATS(t))
			cfg.Name, cfg.Subjects, cfg.MaxBytes = natsq.StreamOperations, []string{"operation.accepted.*"}, 1<<20
			_, err := c.js.CreateStream(t.Context(), cfg)
			require.NoError(t, err)
			require.ErrorContains(t, natsq.Ensure(t.Context(), c.js, small), name)
		})
	}
}
