package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	loopback     = "127.0.0.1"
	startTimeout = 30 * time.Second
	probeEvery   = 10 * time.Millisecond
)

// Process is one of our programs: the same ports and environment over all its
// lives. Its methods may be called from any goroutine.
type Process struct {
	// Name tells it from others, for example "worker-1".
	Name string
	// URL is where it serves; for a worker, its admin port.
	URL string
	// Admin is where health and metrics are.
	Admin string

	binary string
	env    []string
	ready  string
	log    string

	mu   sync.Mutex
	cmd  *exec.Cmd
	gone chan struct{}
}

// newProcess describes a program; ready is the URL that answers 200 when it can
// work.
func newProcess(t testing.TB, dir, name, binary, ready string, env []string) *Process {
	p := &Process{Name: name, binary: binary, env: env, ready: ready, log: filepath.Join(dir, name+".log")}
	t.Cleanup(p.Kill)
	return p
}

// Use has the same program of another folder in the next life, as an upgrade does.
func (p *Process) Use(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.binary = filepath.Join(dir, filepath.Base(p.binary))
}

// Start runs the program and waits until it is ready.
func (p *Process) Start() error {
	if err := p.Spawn(); err != nil {
		return err
	}
	deadline := time.Now().Add(startTimeout)
	for time.Now().Before(deadline) {
		if answers(p.ready) {
			return nil
		}
		select {
		case <-p.Gone():
			return fmt.Errorf("stack: %s ended at once:\n%s", p.Name, p.LogTail(20))
		case <-time.After(probeEvery):
		}
	}
	return fmt.Errorf("stack: %s is not ready in time:\n%s", p.Name, p.LogTail(20))
}

// Spawn runs the program and does not wait for it.
func (p *Process) Spawn() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		return fmt.Errorf("stack: %s runs already", p.Name)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.binary)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.env, log, log, tied()
	gone, started := make(chan struct{}), make(chan error, 1)
	go func() {
		// The kernel ties the child's life to this thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(gone)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("stack: start %s: %w", p.Name, err)
	}
	p.cmd, p.gone = cmd, gone
	return nil
}

// Gone is closed when the program has ended. Nil: it was not started.
func (p *Process) Gone() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// Kill ends the program with SIGKILL and returns when it is gone.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.gone
	p.cmd = nil
}

// Stop asks the program to stop (SIGTERM) and gives its exit code; one that does
// not end within the grace is an error.
func (p *Process) Stop(grace time.Duration) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0, fmt.Errorf("stack: %s does not run", p.Name)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-p.gone:
	case <-time.After(grace):
		return 0, fmt.Errorf("stack: %s has not stopped after %s:\n%s", p.Name, grace, p.LogTail(20))
	}
	code := p.cmd.ProcessState.ExitCode()
	p.cmd = nil
	return code, nil
}

// Pause stands the program still (SIGSTOP); Resume lets it go on.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(s os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("stack: %s does not run", p.Name)
	}
	return p.cmd.Process.Signal(s)
}

// LogTail gives the last lines that the program wrote, without those of level
// info, which are one for each request and attempt.
func (p *Process) LogTail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	all := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(text)), "\n"), func(line string) bool {
		return strings.Contains(line, `"level":"INFO"`)
	})
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Log gives everything that the program wrote, over all its lives.
func (p *Process) Log() ([]byte, error) { return os.ReadFile(p.log) }

// answers reports whether the URL answers 200 soon.
func answers(url string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	resp, err := get(ctx, url, "")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func get(ctx context.Context, url, token string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return http.DefaultClient.Do(req)
}

// freeAddr finds an address below the range of outgoing connections, so that none
// of those takes it while a program is down.
func freeAddr() (string, error) {
	for range 50 {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", loopback, randomPort()))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("stack: no free port")
}
