package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWait_EndsWhenItIsStopped: it is the first process of a pod, needs no settings, and
// must not hold the pod up.
func TestWait_EndsWhenItIsStopped(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var out, errOut bytes.Buffer
	go func() { ended <- run(ctx, []string{"wait"}, []string{"WRITEBACK_NATS_URL=none"}, &out, &errOut) }()
	select {
	case code := <-ended:
		require.Fail(t, "it did not wait", "%d %s", code, errOut.String())
	case <-time.After(50 * time.Millisecond):
	}
	stop()
	require.Equal(t, exitDone, <-ended, errOut.String())
}
