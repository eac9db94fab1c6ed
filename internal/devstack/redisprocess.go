package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	portTries  = 10
	probeEvery = 10 * time.Millisecond
	killAfter  = 10 * time.Second
)

// redisChild is a redis-server that belongs to this process.
type redisChild struct {
	dir  string
	port int
	cmd  *exec.Cmd
	// gone is closed when the child has ended.
	gone chan struct{}
}

// startRedis starts a redis-server on a free port. Somebody else may take the port
// first; then another is tried.
func startRedis(ctx context.Context, binary, dir string) (*redisChild, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	for range portTries {
		var c *redisChild
		if c, err = tryRedis(ctx, binary, dir); err == nil || ctx.Err() != nil {
			return c, err
		}
	}
	return nil, err
}

func tryRedis(ctx context.Context, binary, dir string) (*redisChild, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "redis.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(binary, // without ctx: it outlives the start
		"--port", strconv.Itoa(port), "--bind", loopback, "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
		"--hash-max-listpack-value", "4096", "--latency-tracking", "no")
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = dir, log, log, tied()
	c := &redisChild{dir: dir, port: port, cmd: cmd, gone: make(chan struct{})}
	if err := c.start(); err != nil {
		return nil, err
	}
	if err := c.await(ctx); err != nil {
		c.end()
		return nil, fmt.Errorf("%s on port %d: %w", binary, port, err)
	}
	return c, nil
}

// start runs the child and waits for it on one locked thread: the kernel ties the
// child's life to that thread.
func (c *redisChild) start() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.gone)
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait()
		}
	}()
	return <-started
}

// await polls until the child itself answers.
func (c *redisChild) await(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{
		Addr: net.JoinHostPort(loopback, strconv.Itoa(c.port)), MaxRetries: -1, PoolSize: 1,
	})
	defer func() { _ = client.Close() }()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	var last error
	for {
		select {
		case <-c.gone:
			return errEnded
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		case <-probe.C:
			if last = c.answers(ctx, client); last == nil {
				return nil
			}
		}
	}
}

// answers asks for the process id: another server may have the port. A server that
// still loads its file answers that, but no PING.
func (c *redisChild) answers(ctx context.Context, client *redis.Client) error {
	// The client would log a refused connection by itself.
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", client.Options().Addr)
	if err != nil {
		return err
	}
	_ = conn.Close()
	if err := client.Ping(ctx).Err(); err != nil {
		return err
	}
	about, err := client.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(about, fmt.Sprintf("process_id:%d\r\n", c.cmd.Process.Pid)) {
		return errors.New("another server has the port")
	}
	return nil
}

// watch waits for ctx and then ends the child, which writes its file first.
func (c *redisChild) watch(ctx context.Context) error {
	select {
	case <-c.gone:
		return errEnded
	case <-ctx.Done():
		c.end()
		return nil
	}
}

func (c *redisChild) end() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.NewTimer(killAfter)
	defer kill.Stop()
	select {
	case <-c.gone:
	case <-kill.C:
		_ = c.cmd.Process.Kill()
		<-c.gone
	}
}

func (c *redisChild) url() string { return fmt.Sprintf("redis://%s:%d/0", loopback, c.port) }

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", loopback+":0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = ln.Close() }()
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("no free port")
	}
	return addr.Port, nil
}
