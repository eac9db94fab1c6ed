package devstack

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// RedisKind says which Redis a stack starts.
type RedisKind uint8

// The kinds.
const (
	// RedisAny is a redis-server if the PATH has one, else RedisMemory.
	RedisAny RedisKind = iota
	// RedisProcess is a redis-server as a child process, with an append-only file in
	// the data folder. It ends with this process.
	RedisProcess
	// RedisMemory is an imitation of Redis in this process. It keeps nothing.
	RedisMemory
)

// redis takes the given Redis or starts one.
func (s *Stack) redis(ctx context.Context, o Options) error {
	if o.RedisURL != "" {
		s.urls.Redis, s.redisNote = o.RedisURL, "the given one"
		return nil
	}
	if o.Redis == RedisMemory {
		return s.redisMemory()
	}
	binary, err := exec.LookPath("redis-server")
	switch {
	case err == nil:
		return s.redisProcess(ctx, binary)
	case o.Redis == RedisProcess:
		return fmt.Errorf("redis: %w", err)
	}
	return s.redisMemory()
}

func (s *Stack) redisProcess(ctx context.Context, binary string) error {
	child, err := startRedis(ctx, binary, filepath.Join(s.dir, "redis"))
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	s.parts.run("redis-server", child.watch)
	s.urls.Redis = child.url()
	s.redisNote = fmt.Sprintf("%s as a child process, append-only file in %s", binary, child.dir)
	return nil
}

// redisMemory runs miniredis. Its keys expire only when it is told that time has
// passed.
func (s *Stack) redisMemory() error {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	s.parts.after(func(context.Context) error { m.Close(); return nil })
	s.parts.run("expiry of the in-memory redis", func(ctx context.Context) error {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				m.FastForward(time.Second)
			}
		}
	})
	s.urls.Redis = "redis://" + m.Addr() + "/0"
	s.redisNote = "IN MEMORY (miniredis): IT KEEPS NOTHING. A restart loses every operation; install redis-server to keep them"
	return nil
}

var errEnded = errors.New("it ended; its log says why")
