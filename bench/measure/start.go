package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"writeback/bench/load"
	"writeback/bench/rig"
)

// The systems that are compared.
const (
	writeback = "writeback"
	asynq     = "asynq"
)

// with runs f on a fresh and warm system.
func (b *Bench) with(ctx context.Context, name string, o rig.Options, f func(*rig.System, *load.Client) error) error {
	start := b.Rig.Writeback
	if name == asynq {
		start = b.Rig.Asynq
	}
	s, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	c := load.NewClient(s.Addr, connections)
	defer c.Close()
	if err := b.warm(ctx, s, c); err != nil {
		return fmt.Errorf("%s: warm up: %w", name, err)
	}
	if err := f(s, c); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return b.peak(s)
}

// peak notes the most memory that any program of Writeback ever had.
func (b *Bench) peak(s *rig.System) error {
	if s.Name != writeback {
		return nil
	}
	_, peak, err := s.Memory()
	for name, bytes := range peak {
		b.peaks[name] = max(b.peaks[name], bytes)
	}
	return err
}

// both runs f on each system, in an order that turns with the round.
func (b *Bench) both(ctx context.Context, round int, o rig.Options, f func(*rig.System, *load.Client) error) error {
	order := []string{writeback, asynq}
	if round%2 == 1 {
		order = []string{asynq, writeback}
	}
	for _, name := range order {
		if err := b.with(ctx, name, o, f); err != nil {
			return err
		}
	}
	return nil
}

// awaitAccepting sends the first write until it is accepted: a fresh Writeback
// answers 503 until its shards have been started.
func (b *Bench) awaitAccepting(ctx context.Context, t *traffic, c *load.Client) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	var status int
	for range 1000 {
		t.shot(0, req)
		if err := c.Do(req, resp); err != nil {
			return err
		}
		if status = resp.StatusCode(); status == fasthttp.StatusAccepted {
			return pause(ctx, 500*time.Millisecond)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("writes are not accepted: %d %.300s", status, resp.Body())
}
