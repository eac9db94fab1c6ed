package natsq_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/pkg/operation"
)

// TestRights: what docs/operations.md lists is enough for streams, consumers, buckets, and
// for reading them.
func TestRights(t *testing.T) {
	t.Parallel()
	c := connect(t, limited(t))
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), c.js, natsq.WebhookConfig{MaxBytes: 1 << 20}))
	_, err := natsq.OpenBucket(t.Context(), c.js, jetstream.KeyValueConfig{Bucket: "writeback-directory"}, nil)
	require.NoError(t, err)
	// More than NATS sends before it wants to hear that it was read.
	const entries = 100
	c.fill(t, "writeback-directory", entries, make([]byte, 100<<10))
	took := 0
	require.NoError(t, natsq.ReadBucket(t.Context(), c.js, "writeback-directory", 0, func(jetstream.KeyValueEntry) { took++ }))
	require.Equal(t, entries, took)

	got := make(chan operation.Message, 1)
	w := work(t, c, 1, acking(got))
	m := message(1)
	require.NoError(t, c.pub.Accepted(t.Context(), m, true))
	require.Equal(t, m.ID, receive(t, got).ID)
	c.settled(t)
	w.stop()
	h := natsq.NewHistory(c.js)
	upTo, _, err := h.Ends(t.Context())
	require.NoError(t, err)
	read := 0
	require.NoError(t, h.Operations(t.Context(), time.Now().Add(-time.Hour), upTo, func(all []operation.Message) error { read += len(all); return nil }))
	require.Equal(t, 1, read)
	_, err = natsq.NewTail(c.js).Now(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.nc.Flush())
	require.NotErrorIs(t, c.nc.LastError(), nats.ErrPermissionViolation)
}

// limited starts a server whose user has the rights of the page.
func limited(t *testing.T) (url string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	allowed := func(what string) *server.SubjectPermission {
		list := regexp.MustCompile(`(?m)^      ` + what + `: \{ allow: (\[.*\]) \}$`).FindStringSubmatch(string(page))
		require.NotNil(t, list, what)
		var subjects []string
		require.NoError(t, json.Unmarshal([]byte(list[1]), &subjects))
		return &server.SubjectPermission{Allow: subjects}
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "writeback", Password: "PASSWORD", Permissions: &server.Permissions{
			Publish: allowed("publish"), Subscribe: allowed("subscribe"),
		}}},
	})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(within))
	return strings.Replace(s.ClientURL(), "://", "://writeback:PASSWORD@", 1)
}
