package app

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
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
