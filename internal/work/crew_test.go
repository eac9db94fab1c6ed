package work

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestCrew_RunsEverythingSideBySide(t *testing.T) {
	t.Parallel()
	c := newCrew(2)
	var all sync.WaitGroup
	all.Add(8)
	var ran atomic.Int32
	for range 8 {
		c.Go(func() {
			all.Done()
			all.Wait() // which ends only if none waits for another's goroutine
			c.Go(func() { ran.Add(1) })
		})
	}
	c.Wait()
	require.EqualValues(t, 8, ran.Load())
}

func TestCrew_KeepsFewGoroutines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(3)
		release := make(chan struct{})
		for range 50 {
			c.Go(func() { <-release })
		}
		close(release)
		synctest.Wait()
		require.EqualValues(t, 3, c.idle.Load())
		release = make(chan struct{})
		c.Go(func() { <-release })
		synctest.Wait()
		require.EqualValues(t, 2, c.idle.Load(), "one of the three runs it")
		close(release)
		synctest.Wait()
		require.EqualValues(t, 3, c.idle.Load())
		c.Wait() // and none is left, or the bubble would say so
	})
}
