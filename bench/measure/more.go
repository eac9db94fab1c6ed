package measure

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"writeback/bench/load"
	"writeback/bench/provider"
	"writeback/bench/rig"
)

// Durable measures accept to end with Redis syncing its file before each reply.
func (b *Bench) Durable(ctx context.Context) ([]map[string]*Core, error) {
	return b.bursts(ctx, rig.Options{Fsync: "always"}, 0, b.pick(8_000, 2_000))
}

// Slow measures accept to end with a provider that takes 50 ms.
func (b *Bench) Slow(ctx context.Context) ([]map[string]*Core, error) {
	return b.bursts(ctx, rig.Options{Slots: 256}, 50*time.Millisecond, b.pick(8_000, 3_000))
}

func (b *Bench) bursts(ctx context.Context, o rig.Options, latency time.Duration, n int) ([]map[string]*Core, error) {
	var rounds []map[string]*Core
	for round := range max(b.Rounds-1, 1) {
		got := map[string]*Core{}
		err := b.both(ctx, round, o, func(s *rig.System, c *load.Client) error {
			if err := b.Rig.Provider.Set(provider.Settings{Room: n, Latency: latency}); err != nil {
				return err
			}
			t := newTraffic(s, n)
			r, err := t.closed(ctx, c)
			if err != nil {
				return err
			}
			end, err := t.ended(ctx, b.Rig, c)
			got[s.Name] = &Core{EndRate: float64(n) / end.Sub(r.Began).Seconds()}
			b.logf("%-9s fsync %q, provider %s: %.0f/s to the end", s.Name, o.Fsync, latency, got[s.Name].EndRate)
			return err
		})
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, got)
	}
	return rounds, nil
}

// Open is what an open load saw: the answers, and the first calls of the provider, from when
// a request was due.
type Open struct {
	Rate      float64 `json:"rate"`
	AnswerP50 float64 `json:"answer_p50_ms"`
	AnswerP99 float64 `json:"answer_p99_ms"`
	CallP50   float64 `json:"provider_p50_ms"`
	CallP99   float64 `json:"provider_p99_ms"`

	// Calls is the distribution, for the plot.
	Calls []time.Duration `json:"-"`
}

func opened(rate float64, answers load.Result, calls []time.Duration) Open {
	return Open{
		Rate: rate, Calls: calls, AnswerP50: quantile(answers, 50), AnswerP99: quantile(answers, 99), CallP50: at(calls, 0.5), CallP99: at(calls, 0.99),
	}
}

// share of the maximum that an open load has.
const share = 0.7

// OpenLoad sends writes at 70 % of the rate at which each system can end them; the
// maxima are those of a short burst just before.
func (b *Bench) OpenLoad(ctx context.Context) (map[string]*Open, error) {
	out := map[string]*Open{}
	err := b.both(ctx, 0, rig.Options{}, func(s *rig.System, c *load.Client) error {
		core := &Core{}
		if err := b.push(ctx, s, c, core); err != nil {
			return err
		}
		if _, err := settle(ctx, s); err != nil {
			return err
		}
		rate := share * core.EndRate
		r, calls, err := b.timed(ctx, s, c, int(rate*float64(b.pick(15, 5))), rate)
		if err != nil {
			return err
		}
		o := opened(rate, r, calls)
		out[s.Name] = &o
		b.logf("%-9s open %.0f/s: answer p50 %.2f p99 %.2f ms, provider p50 %.2f p99 %.2f ms", s.Name, rate, o.AnswerP50, o.AnswerP99, o.CallP50, o.CallP99)
		return nil
	})
	return out, err
}

// Batch compares batches of 1,000 updates with single requests.
type Batch struct {
	// Missing says why it was not measured. Empty: it was.
	Missing     string  `json:"missing,omitempty"`
	SingleRate  float64 `json:"single_rate,omitempty"`
	UpdateRate  float64 `json:"update_rate,omitempty"`
	RequestP99  float64 `json:"request_p99_ms,omitempty"`
	Connections int     `json:"connections,omitempty"`
}

const (
	batchPath  = "/v2/telematics/users/batch"
	batchSize  = 1000
	batchConns = 4
)

// Batches measures accepts in batches, with nobody consuming.
func (b *Bench) Batches(ctx context.Context) (*Batch, error) {
	out := &Batch{Connections: batchConns}
	n := b.pick(20_000, 8_000)
	err := b.with(ctx, writeback, rig.Options{}, func(s *rig.System, c *load.Client) error {
		if err := s.StopWorkers(); err != nil {
			return err
		}
		t := newTraffic(s, n)
		if missing, err := t.batchMissing(c); missing != "" || err != nil {
			out.Missing = missing
			return err
		}
		single, err := t.closed(ctx, c)
		if err != nil {
			return err
		}
		few := load.NewClient(s.Addr, batchConns)
		defer few.Close()
		t.base = n
		r, err := few.Closed(ctx, n/batchSize, t.batch, t.batchSeen)
		if err != nil {
			return err
		}
		out.SingleRate, out.UpdateRate = single.Rate(), float64(n)/r.Took().Seconds()
		out.RequestP99 = quantile(r, 99)
		return nil
	})
	b.logf("batch: %+v", *out)
	return out, err
}

// batchMissing asks whether there is such a route.
func (t *traffic) batchMissing(c *load.Client) (string, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	t.batch(0, req)
	req.SetBodyString("")
	if err := c.Do(req, resp); err != nil {
		return "", err
	}
	switch resp.StatusCode() {
	case fasthttp.StatusNotFound, fasthttp.StatusMethodNotAllowed:
		return "not available: this Writeback has no batch route", nil
	}
	return "", nil
}

// batch fills the k-th batch: one JSON object a line.
func (t *traffic) batch(k int, r *fasthttp.Request) {
	r.Header.SetMethod(fasthttp.MethodPost)
	r.Header.SetHost(t.sys.Addr)
	r.Header.SetRequestURI(batchPath)
	r.Header.SetContentType("application/x-ndjson")
	r.Header.SetBytesV("Authorization", t.bearer)
	body := make([]byte, 0, 300*batchSize)
	for i := k * batchSize; i < (k+1)*batchSize; i++ {
		c, u := t.target(i)
		body = append(body, `{"user_id":"`...)
		body = append(body, u.ID...)
		body = append(body, `","connection_id":"`...)
		body = append(body, c.ID...)
		body = append(body, `",`...)
		if t.keyed {
			body = fmt.Appendf(body, `"idempotency_key":"%s",`, t.key(i, u))
		}
		body = append(t.changes(body, i), '}', '\n')
	}
	r.SetBodyRaw(body)
}

// batchSeen keeps the ids of the k-th batch, which must be accepted as a whole.
func (t *traffic) batchSeen(k int, r *fasthttp.Response) error {
	if code := r.StatusCode(); code/100 != 2 {
		return fmt.Errorf("a batch was answered %d: %.300s", code, r.Body())
	}
	seen := make(map[uuid.UUID]bool, batchSize)
	for rest := r.Body(); len(seen) < batchSize; {
		id, err := idOf(rest)
		if err != nil {
			return fmt.Errorf("a batch was accepted in part: %d of %d: %.300s", len(seen), batchSize, r.Body())
		}
		if !seen[id] {
			t.ids[k*batchSize+len(seen)] = id
			seen[id] = true
		}
		_, rest, _ = bytes.Cut(rest, idKey)
	}
	return nil
}
