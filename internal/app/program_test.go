package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
	"writeback/internal/egress"
	"writeback/internal/telemetry"
)

// stuck makes the test process a program that does not end when it is told to.
const stuck = "TEST_STUCK_PROGRAM"

// A second signal ends a program whose stop takes long.
func TestProgram_EndsAtASecondSignal(t *testing.T) {
	t.Parallel()
	if os.Getenv(stuck) != "" {
		Program[config.Sandbox]{
			Name: "stuck", Level: func(c config.Sandbox) config.Process { return c.Process },
			Run: func(ctx context.Context, _ config.Sandbox, _ *telemetry.Telemetry) error {
				fmt.Println("running")
				<-ctx.Done()
				fmt.Println("stopping")
				select {}
			},
		}.Main(nil, nil, os.Stdout, os.Stderr)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestProgram_EndsAtASecondSignal$")
	cmd.Env = append(os.Environ(), stuck+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	await := func(line string) {
		for lines.Scan() && lines.Text() != line {
		}
		require.Equal(t, line, lines.Text())
	}
	await("running")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	await("stopping")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	giveUp := time.After(20 * time.Second)
	for {
		_ = cmd.Process.Signal(os.Interrupt) // again: the first may come before it is listened for no more
		select {
		case err := <-ended:
			require.ErrorContains(t, err, "interrupt")
			return
		case <-giveUp:
			_ = cmd.Process.Kill()
			require.Fail(t, "a second signal is ignored")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// chatty makes the test process a program that calls the address in it.
const chatty = "TEST_CHATTY_PROGRAM"

// TestProgram_LogsNothingThatAnEndpointSent has a counterpart send more than its answer:
// Go's library says so, with all that came.
func TestProgram_LogsNothingThatAnEndpointSent(t *testing.T) {
	t.Parallel()
	if address := os.Getenv(chatty); address != "" {
		Program[config.Sandbox]{
			Name: "chatty", Level: func(c config.Sandbox) config.Process { return c.Process },
			Run: func(ctx context.Context, _ config.Sandbox, _ *telemetry.Telemetry) error {
				transport := egress.New(egress.Config{Open: true}).Transport()
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
				if err != nil {
					return err
				}
				resp, err := transport.RoundTrip(r)
				if err != nil {
					return err
				}
				_ = resp.Body.Close()
				<-ctx.Done()
				return nil
			},
		}.Main(nil, nil, os.Stdout, os.Stderr)
		return
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n+15550100 \"Ada\"")
		}
	}))
	defer server.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestProgram_LogsNothingThatAnEndpointSent$")
	cmd.Env = append(os.Environ(), chatty+"="+server.URL)
	out, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "Unsolicited response") {
	}
	var line struct{ Level, Msg, Detail string }
	require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
	require.Equal(t, "WARN", line.Level)
	require.Equal(t, "Unsolicited response received on idle HTTP channel starting with", line.Detail)
}
