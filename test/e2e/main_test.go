package e2e_test

import (
	"os"
	"testing"

	"writeback/test/e2e/stack"
)

func TestMain(m *testing.M) { os.Exit(stack.Main(m)) }
