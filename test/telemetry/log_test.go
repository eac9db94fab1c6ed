package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
)

// lines: no key is in a line twice, and nobody's data is in one.
func (r *rig) lines() {
	for _, p := range append(r.APIs, r.Workers...) {
		text, err := p.Log()
		require.NoError(r.t, err)
		kinds := map[string]int{}
		for line := range bytes.Lines(text) {
			require.NoError(r.t, unique(json.NewDecoder(bytes.NewReader(line))), string(line))
			var one struct{ Msg string }
			require.NoError(r.t, json.Unmarshal(line, &one))
			kinds[one.Msg]++
		}
		require.Positive(r.t, kinds["starting"])
		require.Positive(r.t, kinds["request"]+kinds["attempt"])
		for _, secret := range []string{"SECRETTOKEN", "SECRETNAME", "15550100", r.Token(sandbox.ConnectionID(connection))} {
			require.NotContains(r.t, string(text), secret)
		}
	}
}

// unique reads one JSON value and finds a key that an object has twice.
func unique(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('['):
		for d.More() {
			if err := unique(d); err != nil {
				return err
			}
		}
	case json.Delim('{'):
		seen := map[any]bool{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return err
			}
			if seen[key] {
				return fmt.Errorf("%q is there twice", key)
			}
			seen[key] = true
			if err := unique(d); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	if _, err := d.Token(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// away: without a collector everything goes on.
func (r *rig) away() {
	r.collector.CloseClientConnections()
	r.collector.Close()
	for user := range 3 {
		op, _ := r.write(6+user, "", nil)
		require.Equal(r.t, "success", r.ended(op.ID).Status)
	}
	for _, p := range append(r.APIs, r.Workers...) {
		resp, err := http.Get(p.Admin + "/readyz")
		require.NoError(r.t, err)
		require.NoError(r.t, resp.Body.Close())
		require.Equal(r.t, http.StatusOK, resp.StatusCode)
	}
}
