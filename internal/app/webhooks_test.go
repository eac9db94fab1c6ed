package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/config"
	"writeback/internal/natsq"
	"writeback/internal/seal"
	"writeback/internal/testenv"
	"writeback/internal/webhook"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	receive "writeback/pkg/webhook"
)

// workerSettings are those of a worker for a NATS and a Redis of the test's own.
func workerSettings(t *testing.T, more ...string) config.Worker {
	t.Helper()
	cfg, _, err := config.Load[config.Worker](append([]string{
		"WRITEBACK_NATS_URL=" + testenv.NATS(t), "WRITEBACK_REDIS_URL=" + testenv.Redis(t), "WRITEBACK_ADMIN_ADDR=127.0.0.1:0",
		"WRITEBACK_OPERATIONS_MAX_BYTES=64MiB", "WRITEBACK_EVENTS_MAX_BYTES=64MiB",
	}, more...))
	require.NoError(t, err)
	return cfg
}

func openBase(t *testing.T, cfg config.Worker, out io.Writer) *Base {
	t.Helper()
	b, err := Open(t.Context(), Settings{
		Name: "test", Common: cfg.Common, Streams: cfg.Streams, Providers: cfg.Providers, Log: slog.New(slog.NewTextHandler(out, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// TestOpenWebhooks_AFirstKeysetTakesOver: webhooks that were made without one go on, and
// leave the generated key.
func TestOpenWebhooks_AFirstKeysetTakesOver(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t, "WRITEBACK_WEBHOOK_LOCAL=true")
	b := openBase(t, cfg, io.Discard)
	without, err := OpenWebhooks(t.Context(), b, cfg.Webhooks, 1)
	require.NoError(t, err)
	made, err := without.Registry.Create(t.Context(), uuid.Must(uuid.NewV7()), webhook.New{URL: "http://127.0.0.1:1", EventName: webhook.EventCreated})
	require.NoError(t, err)

	text, err := seal.Generate()
	require.NoError(t, err)
	cfg.KeysetFile = filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, os.WriteFile(cfg.KeysetFile, text, 0o600))
	for _, what := range []string{"beside the generated key", "without it"} {
		with, err := OpenWebhooks(t.Context(), b, cfg.Webhooks, 1)
		require.NoError(t, err)
		all := with.Registry.All()
		require.Len(t, all, 1)
		secrets, err := with.Registry.Secrets(all[0], time.Now())
		require.NoError(t, err, what)
		require.Equal(t, []string{made[0].Secret}, secrets)
		require.NoError(t, with.Registry.Sweep(t.Context()))
		if err := b.JetStream.DeleteKeyValue(t.Context(), seal.DevelopmentBucket); err != nil {
			require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
		}
	}
}

// TestRunWebhooks_DeliversWhatAnotherProcessSubscribed joins everything as the
// programs do: one process serves partners, the other delivers.
func TestRunWebhooks_DeliversWhatAnotherProcessSubscribed(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t, "WRITEBACK_WEBHOOK_LOCAL=true", "WRITEBACK_ROLES=webhooks")
	var log strings.Builder
	front := openBase(t, cfg, &log)
	api, err := OpenWebhooks(t.Context(), front, cfg.Webhooks, 1)
	require.NoError(t, err)
	require.Contains(t, log.String(), "WRITEBACK_KEYSET_FILE is not set")

	worker := openBase(t, cfg, io.Discard)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- RunWorker(ctx, worker, cfg, func() {}) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-ended) })

	partner := uuid.Must(uuid.NewV7())
	bodies := make(chan []byte, 10)
	var secret atomic.Pointer[string]
	e := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := receive.ReadBody(r, 1<<20)
		if _, bad := receive.Verify([]string{*secret.Load()}, r.Header, body, time.Now()); err != nil || bad != nil {
			t.Errorf("body: %v, signature: %v", err, bad)
		}
		bodies <- body
	}))
	t.Cleanup(e.Close)
	made, err := api.Registry.Create(t.Context(), partner, webhook.New{URL: e.URL, EventName: webhook.EventCreated})
	require.NoError(t, err)
	secret.Store(&made[0].Secret)

	require.NoError(t, front.startShards(t.Context()))
	// The worker subscribes to what happens from its start on, so one of these is the
	// first that it hears of.
	require.Eventually(t, func() bool {
		a := operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: partner, ConnectionID: uuid.New(), Provider: "samsara",
			Resource: operation.ResourceUser, ResourceID: uuid.New(), Type: operation.Update,
			Changes: operation.Changes{operation.FieldNotes: operation.Text("x")},
		}
		receipt, err := front.Store.Accept(t.Context(), a, redisstore.Limits{InFlight: 1, Call: time.Second, Life: time.Hour})
		require.NoError(t, err)
		require.NoError(t, front.publisher.Accepted(t.Context(), operation.Message{Accepted: a, Place: receipt.Place}, true))
		return len(bodies) > 0
	}, 30*time.Second, 100*time.Millisecond)
	require.Contains(t, string(<-bodies), made[0].ID.String())
	require.Eventually(t, func() bool {
		m, err := api.Records.Metrics(t.Context(), partner, made[0].ID)
		return err == nil && m.Hours6.Delivered > 0
	}, 30*time.Second, 10*time.Millisecond)

	// That role is all that the worker has.
	quiet, err := worker.JetStream.Consumer(t.Context(), natsq.StreamOperations, natsq.ConsumerQuiet)
	require.NoError(t, err)
	require.Zero(t, quiet.CachedInfo().NumWaiting, "it asks for no operations")

	held := func() bool {
		lane, err := api.queue.Lane(t.Context(), made[0].ID)
		require.NoError(t, err)
		return lane.Paused
	}
	_, err = api.Registry.Pause(t.Context(), partner, made[0].ID)
	require.NoError(t, err)
	require.Eventually(t, held, 30*time.Second, 10*time.Millisecond, "the worker holds the lane")
	_, err = api.Registry.Activate(t.Context(), partner, made[0].ID)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !held() }, 30*time.Second, 10*time.Millisecond, "and lets it go")
}

// TestRunWebhooks_NoticesADeliveryThatRedisLost: all who knew of it are dead, so a worker that
// starts compares Redis with the streams before it delivers.
func TestRunWebhooks_NoticesADeliveryThatRedisLost(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t, "WRITEBACK_WEBHOOK_LOCAL=true", "WRITEBACK_ROLES=webhooks")
	b := openBase(t, cfg, io.Discard)
	w, err := OpenWebhooks(t.Context(), b, cfg.Webhooks, 1)
	require.NoError(t, err)
	all := make([]int, operation.Shards)
	for i := range all {
		all[i] = i
	}
	require.NoError(t, w.queue.Begin(t.Context(), all))
	lost := operation.Message{
		Accepted: operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), ConnectionID: uuid.Must(uuid.NewV7()), PartnerID: uuid.New(),
			Resource: operation.ResourceUser, ResourceID: uuid.New(), Type: operation.Update,
		},
		Place: operation.Place{Seq: time.Now().UnixMicro(), Deadline: time.Now().Add(time.Hour)},
	}
	require.NoError(t, natsq.NewDeliveries(b.publisher).Accepted(t.Context(), lost, false))

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	worker := openBase(t, cfg, io.Discard)
	go func() { ended <- RunWebhooks(ctx, worker, cfg, func() {}) }()
	require.Eventually(t, func() bool {
		_, err := w.queue.Get(t.Context(), lost.ConnectionID, lost.ID)
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
}

// TestWebhooks_CountWhatWaitsForAPartner: its endpoints have a bound together.
func TestWebhooks_CountWhatWaitsForAPartner(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t, "WRITEBACK_WEBHOOK_LOCAL=true", "WRITEBACK_ROLES=webhooks")
	w, err := OpenWebhooks(t.Context(), openBase(t, cfg, io.Discard), cfg.Webhooks, 1)
	require.NoError(t, err)
	require.Equal(t, webhook.MostWaiting, w.queue.Config().LaneBound, "and each has one of its own")
	all := make([]int, operation.Shards)
	for i := range all {
		all[i] = i
	}
	require.NoError(t, w.queue.Begin(t.Context(), all))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, nil) }()
	partner := uuid.Must(uuid.NewV7())
	for _, path := range []string{"/a", "/b"} {
		_, err := w.Registry.Create(t.Context(), partner, webhook.New{URL: "http://127.0.0.1:1" + path, EventName: webhook.EventCreated})
		require.NoError(t, err)
	}
	for range 3 {
		require.NoError(t, w.fanout.Created(t.Context(), operation.Message{
			Accepted: operation.Accepted{Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: partner, Type: operation.Update},
			Place:    operation.Place{Seq: time.Now().UnixMicro()},
		}))
	}
	for of, want := range map[uuid.UUID]int{partner: 6, uuid.Must(uuid.NewV7()): 0} {
		n, err := w.Outstanding(t.Context(), of)
		require.NoError(t, err)
		require.Equal(t, want, n)
		require.True(t, w.fanout.Room(t.Context(), of))
	}
	cancel()
	require.NoError(t, <-ended)
}

func TestOpenWebhooks_BadKeysetIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	cfg := workerSettings(t, "WRITEBACK_KEYSET_FILE="+file)
	_, err := OpenWebhooks(t.Context(), openBase(t, cfg, io.Discard), cfg.Webhooks, 1)
	require.ErrorContains(t, err, "WRITEBACK_KEYSET_FILE")
}

// TestAPI_IsNotReadyUntilItFollowsWebhooks has an api whose copy of the webhooks
// stands still.
func TestAPI_IsNotReadyUntilItFollowsWebhooks(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t, "WRITEBACK_WEBHOOK_LOCAL=true")
	w, err := OpenWebhooks(t.Context(), openBase(t, cfg, io.Discard), cfg.Webhooks, 1)
	require.NoError(t, err)
	api := &API{webhooks: w}
	check := api.Checks()["webhooks"]
	require.Error(t, check(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.Follow(ctx) }()
	require.Eventually(t, func() bool { return check(t.Context()) == nil }, 30*time.Second, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	require.Error(t, check(t.Context()))
}
