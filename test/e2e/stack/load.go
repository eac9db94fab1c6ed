package stack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"writeback/internal/history"
)

// Load is a number of writes by several clients at once.
type Load struct {
	// Name starts the markers; it must differ between the loads of one stack.
	Name string
	// Operations is how many answers of 200 or 202 are wanted; a write that gets
	// none is sent again, as a new one.
	Operations int
	Clients    int
	// Users of each connection that are written to, from the first.
	Users int
	// SyncShare of the writes are sync.
	SyncShare float64
	// Pause of a client after each write. Zero: none.
	Pause time.Duration
	Seed  uint64
	// Sent is called with the number of accepted writes so far, after each.
	Sent func(n int)
}

// pauseOnError is how long a client waits after a write that was not accepted.
const pauseOnError = 50 * time.Millisecond

// Run sends the load and gives every request that was made.
func (s *Stack) Run(ctx context.Context, l Load) []history.Request {
	var accepted, marker atomic.Int64
	var mu sync.Mutex
	var all []history.Request
	var clients sync.WaitGroup
	for n := range l.Clients {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(l.Seed, uint64(n)))
			c := s.Client()
			for ctx.Err() == nil && int(accepted.Load()) < l.Operations {
				r := l.request(random, marker.Add(1))
				r = c.Write(ctx, s.APIs[random.IntN(len(s.APIs))], r, nil)
				mu.Lock()
				all = append(all, r)
				mu.Unlock()
				wait := l.Pause
				if r.Status == http.StatusOK || r.Status == http.StatusAccepted {
					if done := int(accepted.Add(1)); l.Sent != nil {
						l.Sent(done)
					}
				} else {
					wait += pauseOnError
				}
				if wait > 0 {
					pause(ctx, wait)
				}
			}
		})
	}
	clients.Wait()
	return all
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (l Load) request(random *rand.Rand, n int64) history.Request {
	seeds := Seeds()
	seed := seeds[random.IntN(len(seeds))]
	return history.Request{
		Marker:     fmt.Sprintf("mk-%s-%d", l.Name, n),
		Connection: seed.Connection,
		User:       seed.Users[random.IntN(l.Users)].CatenaID,
		Sync:       random.Float64() < l.SyncShare,
	}
}
