package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"writeback/bench/proc"
)

// Options of a system.
type Options struct {
	// Fsync is Redis' appendfsync. Empty: everysec.
	Fsync string
	// Slots is how many calls a worker makes at a time. Zero: 64.
	Slots int
	// Fleet says whom the writes concern. The zero one is the usual one.
	Fleet Fleet
}

func (o Options) withDefaults() Options {
	if o.Fsync == "" {
		o.Fsync = "everysec"
	}
	if o.Slots == 0 {
		o.Slots = 64
	}
	if o.Fleet.Connections == nil {
		o.Fleet = UsualFleet()
	}
	return o
}

// System is a running service with its servers. Its methods are not to be called
// at the same time.
type System struct {
	// Name is "writeback" or "asynq".
	Name string
	// Addr is the api's, Admin that of its health and metrics, WorkerAdmin that of
	// the last worker, and Monitor that of nats-server. The peer has only Addr.
	Addr, Admin, WorkerAdmin, Monitor string
	// Dead is where the connections of Motive are called; nobody listens there.
	Dead  string
	Fleet Fleet
	Token string

	rig        *Rig
	opts       Options
	dir        string
	rdb        *redis.Client
	servers    []*proc.Process // nats and redis
	api        *proc.Process
	apiCommand proc.Command
	workers    []*proc.Process
	worker     func(i int) (proc.Command, error)
	gone       map[string]time.Duration // CPU of processes that have ended
}

// StartWorkers starts n more workers.
func (s *System) StartWorkers(ctx context.Context, n int) error {
	for range n {
		c, err := s.worker(len(s.workers))
		if err != nil {
			return err
		}
		p, err := proc.Start(ctx, c)
		if err != nil {
			return err
		}
		s.workers = append(s.workers, p)
	}
	return nil
}

// StopWorkers stops them all in good order.
func (s *System) StopWorkers() error {
	var errs []error
	for _, w := range s.workers {
		used, err := w.CPU()
		errs = append(errs, err, w.Stop())
		s.gone["worker"] += used
	}
	s.workers = nil
	return errors.Join(errs...)
}

// KillWorkers kills them all at once.
func (s *System) KillWorkers() {
	for _, w := range s.workers {
		w.Kill()
	}
	s.workers = nil
}

// RestartAPI stops the api and starts it again at the same address; it gives the
// time until it was ready.
func (s *System) RestartAPI(ctx context.Context) (time.Duration, error) {
	if err := s.api.Stop(); err != nil {
		return 0, err
	}
	began := time.Now()
	p, err := proc.Start(ctx, s.apiCommand)
	if err != nil {
		return 0, err
	}
	s.api = p
	return time.Since(began), nil
}

// Processes are the system's own, without the provider and the load.
func (s *System) Processes() []*proc.Process {
	out := append([]*proc.Process{}, s.servers...)
	if s.api != nil {
		out = append(out, s.api)
	}
	return append(out, s.workers...)
}

// CPU is the processor time of each program so far; workers are taken together.
func (s *System) CPU() (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	for name, used := range s.gone {
		out[name] = used
	}
	for _, p := range s.Processes() {
		used, err := p.CPU()
		if err != nil {
			return nil, err
		}
		name, _, _ := strings.Cut(p.Name, "-")
		out[name] += used
	}
	return out, nil
}

// Memory is the most that each program ever had resident, in bytes; of several
// workers the largest.
func (s *System) Memory() (now, peak map[string]int64, err error) {
	now, peak = map[string]int64{}, map[string]int64{}
	for _, p := range s.Processes() {
		n, most, err := p.Memory()
		if err != nil {
			return nil, nil, err
		}
		name, _, _ := strings.Cut(p.Name, "-")
		now[name], peak[name] = max(now[name], n), max(peak[name], most)
	}
	return now, peak, nil
}

// RedisMemory is what Redis has allocated, in bytes.
func (s *System) RedisMemory(ctx context.Context) (int64, error) {
	text, err := s.rdb.Info(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("rig: redis: %w", err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			return strconv.ParseInt(value, 10, 64)
		}
	}
	return 0, errors.New("rig: redis tells no used_memory")
}

// AwaitRewrite waits until Redis no longer writes its file anew, for which it needs a core
// of its own.
func (s *System) AwaitRewrite(ctx context.Context) error {
	for range 1800 {
		text, err := s.rdb.Info(ctx, "persistence").Result()
		if err != nil {
			return fmt.Errorf("rig: redis: %w", err)
		}
		if strings.Contains(text, "aof_rewrite_in_progress:0") && strings.Contains(text, "aof_rewrite_scheduled:0") {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("rig: redis does not come to the end of its file")
}

// Multiply puts n copies of what has ended into Redis.
func (s *System) Multiply(ctx context.Context, n int) error {
	cmd := exec.CommandContext(ctx, s.rig.binary("copies"),
		"-redis", "redis://"+s.rdb.Options().Addr, "-partner", Partner, "-n", strconv.Itoa(n))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rig: copies: %w\n%s", err, out)
	}
	return nil
}

// Close kills everything and removes its files.
func (s *System) Close() {
	if s.rdb != nil {
		_ = s.rdb.Close()
	}
	for _, p := range s.Processes() {
		p.Kill()
	}
	_ = os.RemoveAll(s.dir)
}

// startRedis starts a redis-server with the settings of deploy/redis, but for the
// bound on its memory.
func (s *System) startRedis(ctx context.Context) (addr string, err error) {
	if addr, err = proc.FreeAddr(); err != nil {
		return "", err
	}
	_, port, _ := strings.Cut(addr, ":")
	s.rdb = redis.NewClient(&redis.Options{Addr: addr, PoolSize: 2, MaxRetries: -1})
	p, err := proc.Start(ctx, proc.Command{
		Name: "redis", Binary: "redis-server", Dir: s.dir,
		Args: []string{
			"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "yes",
			"--appendfsync", s.opts.Fsync, "--maxmemory-policy", "noeviction",
			"--hash-max-listpack-value", "4096", "--latency-tracking", "no",
		},
		Ready: func(ctx context.Context) error { return s.rdb.Ping(ctx).Err() },
	})
	if err != nil {
		return "", err
	}
	s.servers = append(s.servers, p)
	return addr, nil
}
