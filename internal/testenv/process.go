package testenv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	host         = "127.0.0.1"
	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
	probeEvery   = 5 * time.Millisecond
	portTries    = 10
)

// process is one server as a child process: the same port and directory over
// all its lives.
type process struct {
	binary string
	dir    string
	// args gives the command line for a port.
	args func(port int) []string
	// answers reports whether the server that answers is the child itself, and not
	// a stranger that took the port first.
	answers func(port, pid int) error

	mu   sync.Mutex
	port int
	cmd  *exec.Cmd
	gone chan struct{}
}

// startAnywhere starts the server on a free port; a port that somebody else
// took in between is left for another.
func (p *process) startAnywhere() error {
	var err error
	for range portTries {
		if p.port, err = freePort(); err != nil {
			return err
		}
		if err = p.start(); err == nil {
			return nil
		}
	}
	return err
}

// start runs the server on its port and waits until it answers.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		return errors.New("testenv: already running")
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("testenv: server log: %w", err)
	}
	defer func() { _ = log.Close() }()

	cmd := exec.Command(p.binary, p.args(p.port)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.dir, log, log, dieWithParent()
	gone, err := run(cmd)
	if err != nil {
		return fmt.Errorf("testenv: start %s: %w", p.binary, err)
	}
	p.cmd, p.gone = cmd, gone
	if err := p.await(); err != nil {
		p.end(syscall.SIGKILL)
		return fmt.Errorf("testenv: %s on port %d: %w\n%s", filepath.Base(p.binary), p.port, err, p.logTail())
	}
	return nil
}

// run starts the command and waits for it on one locked thread; the channel is
// closed when the child is gone.
func run(cmd *exec.Cmd) (chan struct{}, error) {
	started, gone := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(gone)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	return gone, <-started
}

// await polls until the child answers, dies or takes too long.
func (p *process) await() error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	var last error
	for {
		select {
		case <-p.gone:
			return errors.New("ended at once")
		case <-deadline.C:
			return fmt.Errorf("no answer in time: %w", last)
		case <-probe.C:
			if last = p.answers(p.port, p.cmd.Process.Pid); last == nil {
				return nil
			}
		}
	}
}

// end sends the signal and waits until the child is gone; one that does not go
// is killed. It needs mu.
func (p *process) end(sig os.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.gone:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
	p.cmd, p.gone = nil, nil
}

// Kill ends the server with SIGKILL and returns when it is gone. A server that
// is not running stays so.
func (p *process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(syscall.SIGKILL)
}

// Stop ends the server with SIGTERM, and with SIGKILL after 10 s, and returns
// when it is gone.
func (p *process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(syscall.SIGTERM)
}

// Restart brings the server back on the same port and directory, stopping it
// first if it runs, and returns when it answers.
func (p *process) Restart() error {
	p.Stop()
	return p.start()
}

// Pause stops the server's execution (SIGSTOP): connections stay open, nothing
// answers. Resume undoes it; Kill works meanwhile.
func (p *process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (p *process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *process) signal(sig os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return errors.New("testenv: not running")
	}
	return p.cmd.Process.Signal(sig)
}

// Addr is host:port, the same over all restarts.
func (p *process) Addr() string { return net.JoinHostPort(host, strconv.Itoa(p.port)) }

// Dir is where the server keeps its files.
func (p *process) Dir() string { return p.dir }

func (p *process) logFile() string { return filepath.Join(p.dir, "server.log") }

func (p *process) logTail() string {
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-2000):])
}

// freePort finds a port below the range that the system uses for outgoing
// connections, so that none of those takes it while the server is down.
func freePort() (int, error) {
	var err error
	for range 50 {
		port := 12000 + rand.IntN(18000)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("testenv: no free port: %w", err)
}
