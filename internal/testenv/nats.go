package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Patient is how a test connects to NATS: the client's own two seconds are not always
// enough on a machine that is busy otherwise.
var Patient = nats.Timeout(startTimeout)

// NATS runs a NATS server with JetStream inside the test process, its streams
// in a directory of the test's own, and gives its URL.
func NATS(t testing.TB) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: host, Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(),
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatalf("testenv: nats server: %v", err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(startTimeout) {
		t.Fatal("testenv: nats server: not ready in time")
	}
	// A server removes the directory of all streams behind the last one that is deleted, by
	// and by, and a stream made just then fails. One that is not empty stays.
	if err := os.MkdirAll(filepath.Join(s.StoreDir(), server.DEFAULT_GLOBAL_ACCOUNT, "streams", ".stays"), 0o700); err != nil {
		t.Fatalf("testenv: nats server: %v", err)
	}
	return s.ClientURL()
}

// NATSProcess is a nats-server of the test's own, as a process. Its methods may
// be called from any goroutine.
type NATSProcess struct {
	process

	name string
}

// URL is the client URL; it stays the same over restarts.
func (n *NATSProcess) URL() string { return "nats://" + n.Addr() }

// Name is what the server calls itself.
func (n *NATSProcess) Name() string { return n.name }

// StartNATS runs a nats-server process with JetStream and gives its handle. The
// binary is built from the module's own version of the server, once per
// machine. Each of config is a line for the server's configuration file, for
// example `max_payload: 1MB`; a jetstream block of its own replaces the default.
func StartNATS(t testing.TB, config ...string) *NATSProcess {
	t.Helper()
	return startNATS(t, natsAnswers, config)
}

// NATSCluster starts a cluster of so many, each with its JetStream files in Dir, and waits until
// JetStream can be used.
func NATSCluster(t testing.TB, nodes int) []*NATSProcess {
	t.Helper()
	ports, routes := make([]int, nodes), make([]string, nodes)
	for i := range ports {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		ports[i], routes[i] = port, fmt.Sprintf("nats-route://%s:%d", host, port)
	}
	all := make([]*NATSProcess, nodes)
	for i := range all {
		all[i] = startNATS(t, natsIs, []string{fmt.Sprintf(
			"cluster { name: testenv, listen: %q, routes: [%s] }", fmt.Sprintf("%s:%d", host, ports[i]), strings.Join(routes, ", "))})
	}
	deadline := time.Now().Add(startTimeout)
	for i := range all {
		for natsAnswers(all[i].port, all[i].name) != nil {
			if time.Now().After(deadline) {
				t.Fatalf("testenv: the NATS cluster is not ready:\n%s", all[i].logTail())
			}
			time.Sleep(probeEvery)
		}
	}
	return all
}

func startNATS(t testing.TB, answers func(port int, name string) error, config []string) *NATSProcess {
	t.Helper()
	binary, err := natsBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(file, []byte(natsConfig(dir, config)), 0o600); err != nil {
		t.Fatalf("testenv: nats configuration: %v", err)
	}
	// The name is how natsAnswers knows the child from a stranger.
	name := "testenv-" + strings.ReplaceAll(dir, string(filepath.Separator), "-")
	n := &NATSProcess{process{binary: binary, dir: dir}, name}
	n.answers = func(port, _ int) error { return answers(port, name) }
	n.args = func(port int) []string {
		return []string{"-c", file, "-a", host, "-p", strconv.Itoa(port), "-n", name}
	}
	t.Cleanup(n.Kill)
	if err := n.startAnywhere(); err != nil {
		t.Fatal(err)
	}
	return n
}

func natsConfig(dir string, lines []string) string {
	text := strings.Join(lines, "\n") + "\n"
	if !strings.Contains(text, "jetstream") {
		text += fmt.Sprintf("jetstream { store_dir: %q }\n", dir)
	}
	return text
}

func natsAnswers(port int, name string) error {
	return natsAsk(port, name, func(c *nats.Conn) error {
		js, err := c.JetStream()
		if err != nil {
			return err
		}
		_, err = js.AccountInfo()
		return err
	})
}

// natsIs asks one of a cluster, which has no JetStream without the others.
func natsIs(port int, name string) error {
	return natsAsk(port, name, func(*nats.Conn) error { return nil })
}

func natsAsk(port int, name string, ask func(*nats.Conn) error) error {
	c, err := nats.Connect(fmt.Sprintf("nats://%s:%d", host, port), nats.Timeout(time.Second), nats.NoReconnect())
	if err != nil {
		return err
	}
	defer c.Close()
	if c.ConnectedServerName() != name {
		return fmt.Errorf("another server answers on port %d", port)
	}
	return ask(c)
}

// natsBinary builds nats-server if this machine has not got it yet. The build
// goes to a name of its own first, so that test processes may race for it.
func natsBinary() (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, fmt.Sprintf("nats-server-%s-%s-%s", server.VERSION, runtime.GOOS, runtime.GOARCH))
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	built := fmt.Sprintf("%s.%d.%d", binary, os.Getpid(), time.Now().UnixNano())
	out, err := exec.Command("go", "build", "-o", built, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("testenv: build nats-server: %w\n%s", err, out)
	}
	if err := os.Rename(built, binary); err != nil {
		return "", fmt.Errorf("testenv: build nats-server: %w", err)
	}
	return binary, nil
}
