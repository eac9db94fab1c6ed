package testenv

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// programs builds all that tests run as processes, once in a test process. The linker has
// nothing to do where another test process has built the same before.
var programs = sync.OnceValues(func() (dir string, err error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("testenv: find the module: %w", err)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	// Each checkout has its own, or two at work would build theirs by turns.
	name := sha256.Sum256(root)
	dir = filepath.Join(cache, fmt.Sprintf("programs-%x", name[:6]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("testenv: build programs: %w", err)
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", fmt.Errorf("testenv: build programs: %w", err)
	}
	defer unlock()
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/api", "./cmd/worker", "./cmd/sandbox")
	build.Dir = strings.TrimSpace(string(root))
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("testenv: build programs: %w\n%s", err, out)
	}
	return dir, nil
})

// Programs builds programs of the module's cmd folder (api, worker, sandbox) and gives a
// folder of the test's own that they are in.
func Programs(t testing.TB, names ...string) string {
	t.Helper()
	from, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	// What runs is a copy: a file that runs cannot be written, by a build of later.
	dir := t.TempDir()
	for _, name := range names {
		program, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), program, 0o700) //nolint:gosec // it is to be run
		}
		if err != nil {
			t.Fatalf("testenv: program %s: %v", name, err)
		}
	}
	return dir
}

// cacheDir is where what is built for tests stays.
func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "writeback-testenv")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("testenv: cache: %w", err)
	}
	return dir, nil
}
