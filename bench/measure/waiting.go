package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"writeback/bench/load"
	"writeback/bench/rig"
)

// Waiting is what operations cost that wait for a provider that is down.
type Waiting struct {
	Operations int `json:"operations"`
	// Idle and Busy are the programs without and with them: resident and heap bytes,
	// and goroutines.
	Idle map[string]float64 `json:"idle"`
	Busy map[string]float64 `json:"waiting"`
	// Growth is the worst ratio of resident memory.
	Growth float64 `json:"growth"`
	// Unacked and Undelivered are messages of the workers' consumer.
	Unacked     int `json:"unacked"`
	Undelivered int `json:"undelivered"`
	// Ready is how long another worker took to be ready after the kill of the first,
	// Tried how long from then until it called the provider that was back, and Found
	// how many calls it had made ten seconds later.
	Ready string `json:"worker_ready,omitempty"`
	Tried string `json:"first_call,omitempty"`
	Found int64  `json:"called_in_ten_seconds,omitempty"`
}

// Waits lets operations wait for a dead provider, and looks at what they hold; then
// the worker is killed, and the provider comes back.
func (b *Bench) Waits(ctx context.Context) (*Waiting, error) {
	fleet := rig.UsualFleet()
	for n := range 10 {
		fleet.Connections = append(fleet.Connections, rig.NewConnection(1000+n, "motive", 1000))
	}
	dead := fleet.Connections[len(fleet.Alive()):]
	out := &Waiting{Operations: b.pick(100_000, 5_000)}
	o := rig.Options{Fleet: fleet}
	err := b.with(ctx, writeback, o, func(s *rig.System, c *load.Client) error {
		// Idle is a process that has worked before, as much as it works later.
		if err := b.push(ctx, s, c, &Core{}); err != nil {
			return err
		}
		if _, err := settle(ctx, s); err != nil {
			return err
		}
		var err error
		if out.Idle, err = held(ctx, s); err != nil {
			return err
		}
		t := newTraffic(s, out.Operations)
		t.connections, t.names = dead, true
		if _, err := t.closed(ctx, c); err != nil {
			return err
		}
		if _, err := settle(ctx, s); err != nil {
			return err
		}
		if err := t.waits(c); err != nil {
			return err
		}
		if out.Busy, err = held(ctx, s); err != nil {
			return err
		}
		for name, now := range out.Busy {
			if name == "api resident" || name == "worker resident" {
				out.Growth = max(out.Growth, now/out.Idle[name])
			}
		}
		if err := out.messages(ctx, s.Monitor); err != nil {
			return err
		}
		b.logf("waiting: idle %v, waiting %v, unacked %d", out.Idle, out.Busy, out.Unacked)
		if b.Quick { // leases and breakers take their time
			return nil
		}
		return b.comeBack(ctx, s, c, t, out)
	})
	return out, err
}

// waits requires that nothing has ended, by a sample.
func (t *traffic) waits(c *load.Client) error {
	for k := range 100 {
		i := k * len(t.ids) / 100
		status, err := t.status(c, i)
		if err != nil {
			return err
		}
		if status != "pending" {
			return fmt.Errorf("operation %d does not wait: %s", i, status)
		}
	}
	return nil
}

// messages looks for what the consumers hold. A look may fall on a message that is
// on its way, so it takes ten seconds before what is held counts as held.
func (w *Waiting) messages(ctx context.Context, monitor string) (err error) {
	for range 50 {
		if w.Unacked, w.Undelivered, err = consumers(ctx, monitor); err != nil || w.Unacked+w.Undelivered == 0 {
			return err
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// comeBack kills the worker, starts another, and lets the provider answer.
func (b *Bench) comeBack(ctx context.Context, s *rig.System, c *load.Client, t *traffic, out *Waiting) error {
	s.KillWorkers()
	began := time.Now()
	if err := s.StartWorkers(ctx, 1); err != nil {
		return err
	}
	out.Ready = time.Since(began).Round(time.Millisecond).String()
	began = time.Now()
	for k := range 100 { // none is lost
		if _, err := t.status(c, k*len(t.ids)/100); err != nil {
			return err
		}
	}
	var calls atomic.Int64
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		http.Error(w, `{"error_message":"no such user"}`, http.StatusNotFound) // ends the operation
	})}
	listener, err := net.Listen("tcp", s.Dead)
	if err != nil {
		return err
	}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	// The leases of the killed worker must end first, and then the pause of an open
	// breaker.
	for range 1500 {
		if calls.Load() > 0 {
			break
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	out.Tried = time.Since(began).Round(100 * time.Millisecond).String()
	if err := pause(ctx, 10*time.Second); err != nil {
		return err
	}
	if out.Found = calls.Load(); out.Found == 0 {
		return fmt.Errorf("the provider came back, and none of %d waiting operations was tried within 150 s", len(t.ids))
	}
	b.logf("waiting: worker ready in %s, first call after %s, %d calls ten seconds later", out.Ready, out.Tried, out.Found)
	return nil
}

var figureLine = regexp.MustCompile(`(?m)^(go_memstats_heap_alloc_bytes|process_resident_memory_bytes|go_goroutines) (\S+)$`)

var figureName = map[string]string{
	"go_memstats_heap_alloc_bytes": "heap", "process_resident_memory_bytes": "resident", "go_goroutines": "goroutines",
}

// held reads what api and worker hold after a collection.
func held(ctx context.Context, s *rig.System) (map[string]float64, error) {
	out := map[string]float64{}
	for name, admin := range map[string]string{"api": s.Admin, "worker": s.WorkerAdmin} {
		if _, err := get(ctx, "http://"+admin+"/debug/pprof/heap?gc=1&debug=1"); err != nil {
			return nil, err
		}
		page, err := get(ctx, "http://"+admin+"/metrics")
		if err != nil {
			return nil, err
		}
		for _, line := range figureLine.FindAllSubmatch(page, -1) {
			v, err := strconv.ParseFloat(string(line[2]), 64)
			if err != nil {
				return nil, err
			}
			out[name+" "+figureName[string(line[1])]] = v
		}
	}
	return out, nil
}

// consumers asks nats-server for what the workers' consumers of accepted operations
// have not acked, and not been given.
func consumers(ctx context.Context, monitor string) (unacked, undelivered int, err error) {
	text, err := get(ctx, "http://"+monitor+"/jsz?consumers=true")
	if err != nil {
		return 0, 0, err
	}
	var answer struct {
		Accounts []struct {
			Streams []struct {
				Name      string `json:"name"`
				Consumers []struct {
					Unacked     int `json:"num_ack_pending"`
					Undelivered int `json:"num_pending"`
				} `json:"consumer_detail"`
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, 0, fmt.Errorf("jsz: %w", err)
	}
	found := false
	for _, account := range answer.Accounts {
		for _, stream := range account.Streams {
			if stream.Name != "OPERATIONS" {
				continue
			}
			found = true
			for _, c := range stream.Consumers {
				unacked, undelivered = unacked+c.Unacked, undelivered+c.Undelivered
			}
		}
	}
	if !found {
		return 0, 0, fmt.Errorf("jsz: there is no stream OPERATIONS")
	}
	return unacked, undelivered, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return text, err
}
