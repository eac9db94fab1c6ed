package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun_ExitCodes(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	tests := []struct {
		name string
		args []string
		env  string
		code int
		says string
	}{
		{"help", []string{"-help"}, "", 0, "WRITEBACK_SANDBOX_ADDR"},
		{"unknown flag", []string{"-port", "1"}, "", 2, "sandbox: flag provided but not defined: -port; see -help\n"},
		{"stray argument", []string{"now"}, "", 2, "sandbox: unexpected argument \"now\"; see -help\n"},
		{"bad address", []string{"-sandbox-addr", "nowhere:99999999"}, "", 2, "WRITEBACK_SANDBOX_ADDR"},
		{"bad level", nil, "WRITEBACK_LOG_LEVEL=loud", 2, "WRITEBACK_LOG_LEVEL"},
		{"bad grace", nil, "WRITEBACK_SHUTDOWN_GRACE=1ms", 2, "WRITEBACK_SHUTDOWN_GRACE"},
		{"address in use", []string{"--sandbox-addr", taken.Addr().String()}, "", 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			require.Equal(t, tt.code, run(t.Context(), tt.args, []string{tt.env}, &out, &errOut))
			require.Contains(t, errOut.String(), tt.says)
		})
	}
}

func TestRun_ServesAndStops(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, nil, []string{"WRITEBACK_SANDBOX_ADDR=127.0.0.1:0"}, writer, io.Discard)
		_ = writer.Close()
	}()
	logs := json.NewDecoder(reader)
	var line map[string]any
	require.NoError(t, logs.Decode(&line))
	require.Equal(t, "sandbox listens", line["msg"])

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, line["url"].(string)+"/_control/health", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)

	stop()
	require.NoError(t, logs.Decode(&line))
	require.Equal(t, "sandbox stopped", line["msg"])
	require.Equal(t, 0, <-code)
}
