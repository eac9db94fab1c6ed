// Package proc starts the programs that are measured, and tells what processor time
// and memory they have used. It reads /proc, so it runs on Linux only.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
	probeEvery   = 5 * time.Millisecond
)

// ticks is the kernel's USER_HZ: the unit of the times in /proc. It is 100 on
// every Linux that Go runs on.
const ticks = 100

// Command is a program to be started.
type Command struct {
	// Name is what the report calls it.
	Name   string
	Binary string
	Args   []string
	// Environ is put over PATH, HOME and TMPDIR; nothing else is inherited.
	Environ []string
	// Dir takes the log file, and is the working directory.
	Dir string
	// Ready says that the program does its work. Nil: at once.
	Ready func(ctx context.Context) error
}

// Process is a running program. Its methods may be called from any goroutine, but
// for Stop and Kill.
type Process struct {
	Name string
	cmd  *exec.Cmd
	log  string
	done chan error
}

// Start runs the command and waits until it is ready.
func Start(ctx context.Context, c Command) (*Process, error) {
	log := filepath.Join(c.Dir, c.Name+".log")
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(c.Binary, c.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, out, out
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}, c.Environ...)
	// It must not outlive a bench that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("proc: %s: %w", c.Name, err)
	}
	p := &Process{Name: c.Name, cmd: cmd, log: log, done: make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	if err := p.await(ctx, c.Ready); err != nil {
		p.Kill()
		return nil, fmt.Errorf("proc: %s: %w\n%s", c.Name, err, p.logTail())
	}
	return p, nil
}

func (p *Process) await(ctx context.Context, ready func(context.Context) error) error {
	if ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case end := <-p.done:
			p.done <- end
			return fmt.Errorf("ended while starting: %w", errors.Join(end, err))
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", err)
		case <-time.After(probeEvery):
		}
	}
}

// Stop asks the process to end, and waits for it.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil //nolint:nilerror // it has ended
	}
	select {
	case err := <-p.done:
		p.done <- err
		return err
	case <-time.After(stopTimeout):
		p.Kill()
		return fmt.Errorf("proc: %s did not end\n%s", p.Name, p.logTail())
	}
}

// Kill ends the process at once.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	err := <-p.done
	p.done <- err
}

// CPU is the processor time that the process has used so far, all threads
// together, in steps of 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("proc: %s: %w", p.Name, err)
	}
	// The second field is the name in brackets, which may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var sum int64
	for _, i := range []int{11, 12} { // utime and stime, the 14th and 15th of all
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("proc: %s: %w", p.Name, err)
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks, nil
}

// Memory is what the process has resident, and the most that it ever had, in
// bytes.
func (p *Process) Memory() (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("proc: %s: %w", p.Name, err)
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		if name != "VmRSS" && name != "VmHWM" {
			continue
		}
		kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("proc: %s: %w", p.Name, err)
		}
		if name == "VmRSS" {
			now = kib << 10
		} else {
			peak = kib << 10
		}
	}
	return now, peak, nil
}

// logTail is the end of what the program wrote.
func (p *Process) logTail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// FreeAddr gives an address on the loopback that nobody listens on. It is below the range of
// outgoing connections, so that none of those takes it before the server does, and random, so
// that two calls do not give the same one.
func FreeAddr() (string, error) {
	var err error
	for range 50 {
		var ln net.Listener
		if ln, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(18000))); err == nil {
			return ln.Addr().String(), ln.Close()
		}
	}
	return "", fmt.Errorf("proc: no free port: %w", err)
}

// Answers is a Ready that asks for a URL until the answer is 200.
func Answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, resp.Status)
		}
		return nil
	}
}
