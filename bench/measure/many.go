package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"writeback/bench/load"
	"writeback/bench/provider"
	"writeback/bench/rig"
)

// Retained is Writeback with many ended operations.
type Retained struct {
	// Operations is how many there were. Copies of them were put in at the end, since a
	// worker ends so many only in a long time; the others are its own.
	Operations int     `json:"operations"`
	Copies     int     `json:"copies"`
	Bytes      float64 `json:"redis_bytes_per_operation"`
	FillRate   float64 `json:"fill_rate"`
	// Reads while 500 writes a second are accepted.
	GetP50    float64 `json:"get_p50_ms"`
	GetP99    float64 `json:"get_p99_ms"`
	ListP50   float64 `json:"list_p50_ms"`
	ListP99   float64 `json:"list_p99_ms"`
	AcceptP99 float64 `json:"accept_p99_ms"`
	// APIReady and WorkerReady are the times from start to ready.
	APIReady    float64 `json:"api_ready_ms"`
	WorkerReady float64 `json:"worker_ready_ms"`
	// Resident memory of each program, in bytes.
	Resident map[string]int64 `json:"resident_bytes"`
	// Curve is the memory of Redis over operations, and Rates the rate of ends.
	Curve []Point `json:"curve"`
	Rates []Point `json:"rates"`
}

// usersOfMany is how many users each connection has: the writes to one wait for each
// other, also for those of them that are tried again.
const usersOfMany = 1000

// Many fills Writeback with ended operations and reads them.
func (b *Bench) Many(ctx context.Context) (*Retained, error) {
	out := &Retained{}
	err := b.with(ctx, writeback, rig.Options{Fleet: rig.FleetOf(usersOfMany)}, func(s *rig.System, _ *load.Client) error {
		kept, err := b.fill(ctx, s, b.Retained/batchSize*batchSize, out)
		if err != nil {
			return err
		}
		c := load.NewClient(s.Addr, connections) // the first one has been silent for too long
		defer c.Close()
		if err := b.readMany(ctx, s, c, kept, out); err != nil {
			return err
		}
		if out.Resident, _, err = s.Memory(); err != nil {
			return err
		}
		ready, err := s.RestartAPI(ctx)
		if err != nil {
			return err
		}
		out.APIReady = float64(ready.Microseconds()) / 1000
		if err := s.StopWorkers(); err != nil {
			return err
		}
		began := time.Now()
		err = s.StartWorkers(ctx, 1)
		out.WorkerReady = float64(time.Since(began).Microseconds()) / 1000
		b.logf("retained: %d operations, %.0f bytes each, get p99 %.2f ms, list p99 %.2f ms, api ready in %.0f ms, worker in %.0f ms",
			out.Operations, out.Bytes, out.GetP99, out.ListP99, out.APIReady, out.WorkerReady)
		return err
	})
	return out, err
}

// fill lets operations end until there are enough or the time is up. It accepts them in
// batches, and not too far ahead of those that have ended. It gives them with
// their ids. The rest are copies.
func (b *Bench) fill(ctx context.Context, s *rig.System, asked int, out *Retained) (*traffic, error) {
	const part, ahead = 25_000, 25_000
	before, err := settle(ctx, s)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	out.Curve = []Point{{0, float64(before)}}
	if err := b.Rig.Provider.Set(provider.Settings{Room: asked, Failing: failing}); err != nil {
		return nil, err
	}
	t := newTraffic(s, asked)
	t.keyed = true
	few := load.NewClient(s.Addr, batchConns)
	defer few.Close()
	for out.Operations < asked && time.Since(began) < b.FillTime {
		from, first, n := time.Now(), out.Operations/batchSize, min(part, asked-out.Operations)
		_, err := few.Closed(ctx, n/batchSize,
			func(k int, r *fasthttp.Request) { t.batch(first+k, r) },
			func(k int, r *fasthttp.Response) error { return t.batchSeen(first+k, r) })
		if err != nil {
			return nil, err
		}
		out.Operations += n
		if err := awaitCount(ctx, b.Rig, out.Operations-ahead); err != nil {
			return nil, err
		}
		now, err := s.RedisMemory(ctx)
		if err != nil {
			return nil, err
		}
		out.Curve = append(out.Curve, Point{float64(out.Operations), float64(now)})
		out.Rates = append(out.Rates, Point{time.Since(began).Seconds(), float64(n) / time.Since(from).Seconds()})
	}
	if err := awaitCount(ctx, b.Rig, out.Operations); err != nil {
		return nil, err
	}
	out.FillRate = float64(out.Operations) / time.Since(began).Seconds()
	b.logf("retained: %d operations have ended", out.Operations)
	t.ids = t.ids[:out.Operations]
	after, err := settle(ctx, s)
	if err != nil {
		return nil, err
	}
	out.Bytes = float64(after-before) / float64(out.Operations)
	b.logf("retained: all is at rest")
	if out.Copies = asked - out.Operations; out.Copies > 0 {
		if err := s.Multiply(ctx, out.Copies); err != nil {
			return nil, err
		}
		if err := s.AwaitRewrite(ctx); err != nil {
			return nil, err
		}
		out.Operations = asked
		b.logf("retained: and %d copies of them", out.Copies)
	}
	return t, nil
}

// readMany reads by id and by list while 500 writes a second are accepted, for so long that the
// 99th percentile is that of some thousand reads.
func (b *Bench) readMany(ctx context.Context, s *rig.System, c *load.Client, kept *traffic, out *Retained) error {
	const writes, reads, pages = 500, 100, 4 // a second
	seconds := b.pick(40, 8)
	if err := b.Rig.Provider.Set(provider.Settings{Room: writes * seconds}); err != nil {
		return err
	}
	t := newTraffic(s, writes*seconds)
	readers, lister := load.NewClient(s.Addr, 8), load.NewClient(s.Addr, 2)
	defer readers.Close()
	defer lister.Close()
	walk := &walk{sys: s}
	var wg sync.WaitGroup
	var accepts, gets, lists load.Result
	errs := make([]error, 3)
	wg.Go(func() { accepts, errs[0] = t.open(ctx, c, writes) })
	wg.Go(func() {
		gets, errs[1] = readers.OpenAt(ctx, load.Scattered(reads*seconds, reads), func(i int, r *fasthttp.Request) {
			kept.read(i*7919%len(kept.ids), r)
		}, func(_ int, r *fasthttp.Response) error { return want(r, fasthttp.StatusOK) })
	})
	wg.Go(func() {
		lists, errs[2] = lister.OpenAt(ctx, load.Scattered(pages*seconds, pages), walk.shot, walk.seen)
	})
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	out.AcceptP99 = quantile(accepts, 99)
	out.GetP50, out.GetP99 = quantile(gets, 50), quantile(gets, 99)
	out.ListP50, out.ListP99 = quantile(lists, 50), quantile(lists, 99)
	_, err := t.ended(ctx, b.Rig, c)
	return err
}

func quantile(r load.Result, q float64) float64 { return float64(r.Latency.ValueAtQuantile(q)) / 1000 }

func want(r *fasthttp.Response, status int) error {
	if r.StatusCode() != status {
		return fmt.Errorf("answered %d instead of %d: %.300s", r.StatusCode(), status, r.Body())
	}
	return nil
}

// walk pages through the list of all operations.
type walk struct {
	sys *rig.System
	mu  sync.Mutex
	// cursor of the next page. Empty: the first.
	cursor string
}

func (w *walk) shot(_ int, r *fasthttp.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	uri := "/v2/integrations/connections/resource-operations?size=300"
	if w.cursor != "" {
		uri += "&cursor=" + url.QueryEscape(w.cursor)
	}
	r.Header.SetHost(w.sys.Addr)
	r.Header.SetRequestURI(uri)
	r.Header.Set("Authorization", "Bearer "+w.sys.Token)
}

func (w *walk) seen(_ int, r *fasthttp.Response) error {
	if err := want(r, fasthttp.StatusOK); err != nil {
		return err
	}
	// The cursor is near the end; the whole page need not be read for it.
	_, tail, _ := bytes.Cut(r.Body(), []byte(`"next_page":`))
	var next *string
	if err := json.Unmarshal(bytes.TrimRight(tail, "}\n "), &next); err != nil {
		return fmt.Errorf("a page without a next one: %w: %.100s", err, tail)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cursor = ""; next != nil {
		w.cursor = *next
	}
	return nil
}
