package directory

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/testenv"
)

const soon = 20 * time.Second

func TestMain(m *testing.M) {
	if err := os.Setenv("DIRECTORY_TEST_TOKEN", "token-from-env"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var (
	demo  = id("b1")
	other = id("b2")
)

// id is 00000000-0000-7000-8000-… with the given end.
func id(end string) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("00000000-0000-7000-8000-%012s", end))
}

func streams(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, testenv.Patient, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

// open gives a directory of a process of its own, which follows the bucket.
func open(t testing.TB, url string) *Directory {
	t.Helper()
	d, err := Open(t.Context(), streams(t, url), Config{})
	require.NoError(t, err)
	require.Error(t, d.Ready())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	require.Eventually(t, func() bool { return d.Ready() == nil }, soon, time.Millisecond)
	return d
}

func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registry.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func load(t testing.TB, d *Directory, text string) Report {
	t.Helper()
	report, err := d.LoadFile(t.Context(), file(t, text))
	require.NoError(t, err)
	return report
}

// one is a registry with one connection, c1 of partner b1.
func one(rest string) string {
	return `partners: [{id: ` + demo.String() + `, name: Demo, connections: [{id: ` + id("c1").String() + `, provider: samsara, ` + rest + `}]}]`
}

// sees waits until the directory has the description on connection c1.
func sees(t testing.TB, d *Directory, description string) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, ok := d.ConnectionByID(id("c1"))
		return ok && c.Description == description
	}, soon, 5*time.Millisecond)
}
