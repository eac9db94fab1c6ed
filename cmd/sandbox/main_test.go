package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func noEnv(string) string { return "" }

func TestRun_ExitCodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"help", []string{"-help"}, 0, "WRITEBACK_SANDBOX_ADDR"},
		{"unknown flag", []string{"-port", "1"}, 2, "-port"},
		{"stray argument", []string{"now"}, 2, "now"},
		{"bad address", []string{"-addr", "nowhere:99999999"}, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			require.Equal(t, tt.code, run(t.Context(), tt.args, noEnv, &out, &errOut))
			require.Contains(t, errOut.String(), tt.says)
		})
	}
}

func TestRun_ServesAndStops(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	env := func(name string) string {
		require.Equal(t, "WRITEBACK_SANDBOX_ADDR", name)
		return "127.0.0.1:0"
	}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, nil, env, writer, io.Discard)
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
