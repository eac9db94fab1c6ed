package testenv

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// programs builds all that tests run as processes, once in a test process. The linker has
// nothing to do where another test process has built the same before.
var programs = sync.OnceValues(func() (dir string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	// Each checkout has its own, or two at work would build theirs by turns.
	name := sha256.Sum256([]byte(root))
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
	build.Dir = root
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
			// A child that another test starts meanwhile would have it open for writing for a
			// moment, too, and what is open for writing cannot be run.
			syscall.ForkLock.RLock()
			err = os.WriteFile(filepath.Join(dir, name), program, 0o700) //nolint:gosec // it is to be run
			syscall.ForkLock.RUnlock()
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

// OtherPrograms builds programs as of another version: with other texts in place of these, by
// the file that they are in, each of which is there once. It gives their folder.
func OtherPrograms(t testing.TB, texts map[string][2]string, names ...string) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir, replaced := t.TempDir(), map[string]string{}
	for file, text := range texts {
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), text[0]); n != 1 {
			t.Fatalf("testenv: %s has %d times %q", file, n, text[0])
		}
		other := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(other, []byte(strings.Replace(string(source), text[0], text[1], 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		replaced[filepath.Join(root, file)] = other
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", dir + string(filepath.Separator)}
	for _, name := range names {
		args = append(args, "./cmd/"+name)
	}
	build := exec.Command("go", args...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("testenv: build programs of another version: %v\n%s", err, out)
	}
	return dir
}

func moduleRoot() (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("testenv: find the module: %w", err)
	}
	return strings.TrimSpace(string(root)), nil
}
