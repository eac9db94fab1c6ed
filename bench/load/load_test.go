package load

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// serve answers with the handler, and gives the address.
func serve(t *testing.T, h fasthttp.RequestHandler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fasthttp.Server{Handler: h}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Shutdown() })
	return ln.Addr().String()
}

func shot(_ int, r *fasthttp.Request) { r.SetRequestURI("http://bench/") }

func fine(int, *fasthttp.Response) error { return nil }

// A server that stops once must show in the times of the requests that were due
// meanwhile, not in one alone.
func TestOpen_CountsFromTheSchedule(t *testing.T) {
	t.Parallel()
	var first atomic.Bool
	c := NewClient(serve(t, func(*fasthttp.RequestCtx) {
		if first.CompareAndSwap(false, true) {
			time.Sleep(300 * time.Millisecond)
		}
	}), 1)
	r, err := c.Open(t.Context(), 100, 1000, shot, fine)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Latency.ValueAtQuantile(50); got < 150_000 {
		t.Errorf("half of the requests were due while the server stood still, and the median is %d us", got)
	}
	if r.Latency.TotalCount() != 100 {
		t.Errorf("%d of 100 requests were counted", r.Latency.TotalCount())
	}
}

func TestClosed_SendsEachOnce(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	c := NewClient(serve(t, func(*fasthttp.RequestCtx) { served.Add(1) }), 8)
	seen := make([]atomic.Int32, 1000)
	r, err := c.Closed(t.Context(), len(seen), shot, func(i int, _ *fasthttp.Response) error {
		seen[i].Add(1)
		return nil
	})
	if err != nil || served.Load() != 1000 || r.Rate() <= 0 {
		t.Fatal(err, served.Load())
	}
	for i := range seen {
		if seen[i].Load() != 1 {
			t.Fatalf("request %d was sent %d times", i, seen[i].Load())
		}
	}
}

func TestClosed_EndsAtAnError(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	c := NewClient(serve(t, func(*fasthttp.RequestCtx) {}), 4)
	if _, err := c.Closed(t.Context(), 1000, shot, func(i int, _ *fasthttp.Response) error {
		if i == 10 {
			return refused
		}
		return nil
	}); !errors.Is(err, refused) {
		t.Error(err)
	}
}
