// Package redismodes takes the store and the programs over a real Redis Cluster, and
// through a real failover by Sentinel.
package redismodes

import (
	"os"
	"testing"
	"time"

	"writeback/test/e2e/stack"
)

const (
	within = 60 * time.Second
	every  = 20 * time.Millisecond
)

func TestMain(m *testing.M) { os.Exit(stack.Main(m)) }
