// Package webhooks_test watches webhooks from outside: programs as they run in life, an
// endpoint that checks every request with code of its own, and workers that are killed.
package webhooks_test

import (
	"os"
	"testing"

	"writeback/test/e2e/stack"
)

func TestMain(m *testing.M) { os.Exit(stack.Main(m)) }
