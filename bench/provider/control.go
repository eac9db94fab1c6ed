package provider

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Control speaks to a provider from the bench. Safe for concurrent use.
type Control struct {
	// URL of the provider, without a trailing slash.
	URL string
}

// Set gives the provider its settings; it forgets all calls.
func (c Control) Set(s Settings) error {
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("provider: %w", err)
	}
	_, err = c.do(http.MethodPost, "/_bench/settings", body)
	return err
}

// Count gives how many requests of the load have been called for, and how many
// have been answered with success.
func (c Control) Count() (called, ended int, err error) {
	text, err := c.do(http.MethodGet, "/_bench/count", nil)
	if err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscan(string(text), &called, &ended); err != nil {
		return 0, 0, fmt.Errorf("provider: count: %w", err)
	}
	return called, ended, nil
}

// Times are when a request was called for first, and when it was answered with
// success. Zero: never.
type Times struct{ First, Ended time.Time }

// Calls gives the times of n requests from a number on.
func (c Control) Calls(from, n int) ([]Times, error) {
	raw, err := c.do(http.MethodGet, fmt.Sprintf("/_bench/calls?from=%d&n=%d", from, n), nil)
	if err != nil {
		return nil, err
	}
	out := make([]Times, len(raw)/16)
	for i := range out {
		out[i] = Times{First: unix(raw[16*i:]), Ended: unix(raw[16*i+8:])}
	}
	return out, nil
}

func unix(b []byte) time.Time {
	ns := int64(binary.LittleEndian.Uint64(b))
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

func (c Control) do(method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("provider: %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("provider: %s: %s: %s", path, resp.Status, text)
	}
	return text, nil
}
