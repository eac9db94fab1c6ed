package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"dev": main})
}

// leakChecked ends the tests with a look for goroutines that stay.
type leakChecked struct{ m *testing.M }

// Run runs the tests and gives the exit code.
func (l leakChecked) Run() int {
	code := l.m.Run()
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return code
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}

// announced ends the run once the banner's last line is there.
type announced struct {
	bytes.Buffer
	last string
	stop func()
}

func (a *announced) Write(p []byte) (int, error) {
	n, err := a.Buffer.Write(p)
	if strings.Contains(a.String(), a.last) {
		a.stop()
	}
	return n, err
}

func TestRun_BannerThenStop(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := &announced{last: "Read the operations", stop: cancel}
	var errOut bytes.Buffer
	free := "127.0.0.1:0"
	code := run(ctx, []string{"-api-addr", free, "-admin-addr", free, "-sandbox-addr", free, "-workers", "2"},
		[]string{"WRITEBACK_LOG_LEVEL=error"}, out, &errOut)
	require.Zero(t, code, errOut.String())
	require.Empty(t, errOut.String())
	for _, want := range []string{
		`API +http://127\.0\.0\.1:\d+\n`, `Workers +2\n`, `/realms/catena/protocol/openid-connect/token`, `Redis +redis://`, `\nStopped\.\n$`,
	} {
		require.Regexp(t, regexp.MustCompile(want), out.String())
	}
	require.NotContains(t, out.String(), "%!")
}

// TestRun_BannerCommandsWork pastes the banner's token and write commands into a
// shell.
func TestRun_BannerCommandsWork(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("SKIPPED, NOT PASSED: ", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ready := make(chan struct{})
	out := &announced{last: "Read the operations", stop: sync.OnceFunc(func() { close(ready) })}
	ended := make(chan int, 1)
	free := "127.0.0.1:0"
	go func() {
		ended <- run(ctx, []string{"-api-addr", free, "-admin-addr", free, "-sandbox-addr", free}, nil, out, t.Output())
	}()
	select {
	case <-ready:
	case code := <-ended:
		t.Fatalf("ended with %d", code)
	}
	text := out.String()
	script := text[strings.Index(text, "  TOKEN="):]
	script = regexp.MustCompile(`(?m)^[A-Z].*$`).ReplaceAllString(script, "")
	answer, err := exec.Command("sh", "-c", script).CombinedOutput()
	require.NoError(t, err, string(answer))
	require.Contains(t, string(answer), `"status":"pending"`)
	require.Contains(t, string(answer), `"items":[{`)
	cancel()
	require.Zero(t, <-ended)
}
