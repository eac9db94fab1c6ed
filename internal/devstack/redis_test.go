package devstack_test

import (
	"os"
	"os/exec"
	"testing"
)

// needRedis skips loudly without redis-server, and fails in CI.
func needRedis(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("redis-server")
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatal(err)
	default:
		t.Skip("SKIPPED, NOT PASSED: ", err)
	}
}
