// Package load sends requests over a fixed number of connections: one after the
// other on each (closed), or at the times of a schedule (open). In an open load a
// request's time counts from when it was due, not from when a connection was free
// for it, so that a system that stops for a moment cannot hide what it did to the
// requests of that moment (coordinated omission).
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"
)

// Shot fills the i-th request. It is called from many goroutines.
type Shot func(i int, r *fasthttp.Request)

// Seen looks at the i-th answer; an error ends the load. It is called from many
// goroutines.
type Seen func(i int, r *fasthttp.Response) error

// Client sends to one server. Safe for concurrent use.
type Client struct {
	http  *fasthttp.HostClient
	conns int
}

// NewClient makes one with that many connections.
func NewClient(addr string, conns int) *Client {
	return &Client{conns: conns, http: &fasthttp.HostClient{
		Addr: addr, MaxConns: conns, MaxIdleConnDuration: time.Hour, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		// A write that is sent twice would be counted once.
		MaxIdemponentCallAttempts: 1, MaxConnWaitTimeout: time.Minute,
		NoDefaultUserAgentHeader: true, DisablePathNormalizing: true,
	}}
}

// Close closes the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Result of a load.
type Result struct {
	Began, Ended time.Time
	// Latency of the answers in microseconds.
	Latency *hdrhistogram.Histogram
	// Due are the scheduled times of an open load, and the times of sending of a
	// closed one.
	Due []time.Time
}

// Took is the time from the first request to the last answer.
func (r Result) Took() time.Duration { return r.Ended.Sub(r.Began) }

// Rate is answers per second.
func (r Result) Rate() float64 { return float64(len(r.Due)) / r.Took().Seconds() }

// Histogram makes an empty one, in microseconds up to ten minutes.
func Histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 600_000_000, 3) }

// Do sends one request.
func (c *Client) Do(r *fasthttp.Request, a *fasthttp.Response) error { return c.http.Do(r, a) }

// Closed sends n requests, on each connection one after the other.
func (c *Client) Closed(ctx context.Context, n int, shot Shot, seen Seen) (Result, error) {
	var next atomic.Int64
	due := make([]time.Time, n)
	return c.run(ctx, due, func(context.Context) (int, bool) {
		i := int(next.Add(1)) - 1
		if i >= n {
			return 0, false
		}
		due[i] = time.Now()
		return i, true
	}, shot, seen)
}

// Scattered are the times of n requests at a rate a second, each anywhere in its interval, so
// that two loads beside each other do not always send at the same moment.
func Scattered(n int, rate float64) []time.Time { return schedule(n, rate, rand.Float64) }

func schedule(n int, rate float64, within func() float64) []time.Time {
	due := make([]time.Time, n)
	began := time.Now().Add(10 * time.Millisecond)
	for i := range due {
		due[i] = began.Add(time.Duration((float64(i) + within()) / rate * float64(time.Second)))
	}
	return due
}

// Open sends n requests at rate a second.
func (c *Client) Open(ctx context.Context, n int, rate float64, shot Shot, seen Seen) (Result, error) {
	return c.OpenAt(ctx, schedule(n, rate, func() float64 { return 0 }), shot, seen)
}

// OpenAt sends a request at each of the times, which rise.
func (c *Client) OpenAt(ctx context.Context, due []time.Time, shot Shot, seen Seen) (Result, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	next := make(chan int, len(due)) // with room for all: the schedule waits for nobody
	go keepTime(ctx, due, next)
	return c.run(ctx, due, func(ctx context.Context) (int, bool) {
		select {
		case i, ok := <-next:
			return i, ok
		case <-ctx.Done():
			return 0, false
		}
	}, shot, seen)
}

// keepTime gives out each request when it is due. It sleeps in the kernel, on a thread of
// its own: a timer of Go's in an idle program is up to a millisecond late, which would be
// most of what is measured.
func keepTime(ctx context.Context, due []time.Time, next chan<- int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(next)
	for i, at := range due {
		for wait := time.Until(at); wait > 0; wait = time.Until(at) {
			if ctx.Err() != nil {
				return
			}
			pause := syscall.NsecToTimespec(int64(wait))
			_ = syscall.Nanosleep(&pause, nil) // a signal ends it early
		}
		next <- i
	}
}

// run lets a goroutine for each connection take requests until there are no more.
func (c *Client) run(ctx context.Context, due []time.Time, take func(context.Context) (int, bool), shot Shot, seen Seen) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := Result{Began: time.Now(), Due: due, Latency: Histogram()}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range c.conns {
		wg.Go(func() {
			own := Histogram()
			if err := c.connection(ctx, due, own, take, shot, seen); err != nil {
				cancel(err)
			}
			mu.Lock()
			defer mu.Unlock()
			r.Latency.Merge(own)
		})
	}
	wg.Wait()
	r.Ended = time.Now()
	return r, context.Cause(ctx)
}

func (c *Client) connection(
	ctx context.Context, due []time.Time, own *hdrhistogram.Histogram,
	take func(context.Context) (int, bool), shot Shot, seen Seen,
) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	for ctx.Err() == nil {
		i, ok := take(ctx)
		if !ok {
			break
		}
		req.Reset()
		shot(i, req)
		if err := c.http.Do(req, resp); err != nil {
			return fmt.Errorf("load: request %d: %w", i, err)
		}
		_ = own.RecordValue(max(1, time.Since(due[i]).Microseconds()))
		if err := seen(i, resp); err != nil {
			return fmt.Errorf("load: request %d: %w", i, err)
		}
	}
	return nil
}
