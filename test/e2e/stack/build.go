// Package stack runs Writeback for tests as it runs in life: api, worker and
// provider sandbox as processes of their own, built from this module, on a
// nats-server and a redis-server that can be killed; and it gathers what package
// history checks.
//
// It is for tests alone. It starts nothing on fixed ports and leaves nothing
// running: on Linux a child ends with the test process, however that ends.
package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const buildTimeout = 3 * time.Minute

var built atomic.Value // the folder

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "writeback-e2e-")
	if err != nil {
		return "", err
	}
	built.Store(dir)
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator),
		"writeback/cmd/api", "writeback/cmd/worker", "writeback/cmd/sandbox").CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("stack: build the programs: %w\n%s", err, out)
	}
	return dir, nil
})

// Programs builds api, worker and sandbox, once in a test process, and gives the
// folder that they are in. Main removes it.
func Programs(t testing.TB) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Main runs the tests and removes what Programs built. Call it in TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	if dir, ok := built.Load().(string); ok {
		_ = os.RemoveAll(dir)
	}
	return code
}
