package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"writeback/bench/measure"
)

// whole is a result in which everything was measured.
func whole() *measure.Result {
	core := func(rate float64) *measure.Core {
		c := &measure.Core{
			AcceptRate: 2 * rate, EndRate: rate, DrainRate: rate, CPU: map[string]float64{"api": 50, "worker": 100, "redis": 70, "load": 40, "provider": 30},
			ProviderP50: 1, ProviderP99: 5,
		}
		for i := range 2000 {
			c.Calls = append(c.Calls, time.Duration(i)*10*time.Microsecond)
			c.Ends = append(c.Ends, time.Duration(i)*time.Millisecond)
		}
		return c
	}
	round := map[string]*measure.Core{"writeback": core(6000), "asynq": core(2000)}
	return &measure.Result{
		Rounds: []map[string]*measure.Core{round, round}, Durable: []map[string]*measure.Core{round}, Slow: []map[string]*measure.Core{round},
		Open: map[string]*measure.Open{"writeback": {Rate: 100}}, Rates: map[string][]measure.Rate{"asynq": {{Open: measure.Open{Rate: 250}, CPU: 2792, Cores: 0.88}}}, Batch: &measure.Batch{Missing: "not available"},
		Fairness: []measure.Fair{{Hot: 1, Factor: 0.1}, {Hot: 8, Factor: 0.4}, {Hot: 80, Factor: 0.2}},
		Waiting: &measure.Waiting{
			Operations: 100_000, Idle: map[string]float64{"api resident": 1 << 25, "api goroutines": 94},
			Busy: map[string]float64{"api resident": 1 << 25, "api goroutines": 94}, Growth: 1, Ready: "200ms", Tried: "40s", Found: 10,
		},
		Workers:  map[int]float64{1: 200, 2: 390, 4: 700},
		Retained: &measure.Retained{Operations: 1_000_000, Copies: 100_000, Bytes: 440, Curve: []measure.Point{{X: 0, Y: 1e6}, {X: 9e5, Y: 4e8}}},
		Peak:     map[string]int64{"api": 60 << 20},
	}
}

func TestWrite_TellsEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	document := filepath.Join(dir, "performance.md")
	run := Run{Result: whole(), Machine: Machine{CPU: "cpu", Cores: 2}, Took: time.Minute, Date: "2026-01-01"}
	if err := run.Write(filepath.Join(dir, "results"), document); err != nil {
		t.Fatal(err)
	}
	text := read(t, document)
	for _, want := range []string{
		"| accept to end, one burst | 6,000 /s | 2,000 /s | 3.00 |", "| goal |", "not available", "100,000 of them are copies of others",
		"| Redis memory per ended operation |", "| 4 | 700 | 3.50 |", "| 8 |", "first after 40s", "api 60 MiB", "| asynq | 250/s | 2,792 us | 0.88 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document does not say %q", want)
		}
	}
	for _, name := range []string{"latency.svg", "throughput.svg", "memory.svg"} {
		if !strings.Contains(read(t, filepath.Join(dir, "results", name)), "<svg") {
			t.Errorf("%s is no plot", name)
		}
	}
	var keys map[string]any
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "results", "latest.json"))), &keys); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"accept_ratio": 3, "end_to_end_ratio": 3, "drain_ratio": 3, "cpu_ratio": 1, "provider_p50_ratio": 1, "provider_p99_ratio": 1, "durable_ratio": 3,
		"redis_bytes_per_operation": 440, "workers_2_ratio": 1.95, "workers_4_ratio": 3.5, "quiet_p99_factor": 0.4,
	} {
		if got, _ := keys[name].(float64); got != want {
			t.Errorf("%s is %v instead of %v", name, keys[name], want)
		}
	}
	if v, ok := keys["batch_ratio"]; !ok || v != nil {
		t.Errorf("a batch that was not measured has the ratio %v", v)
	}
}

// A part of the figures makes a part of the document.
func TestDocument_OfNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "performance.md")
	if err := (Run{Result: &measure.Result{}}).Document(path); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(read(t, path), "More workers") {
		t.Error("a section without figures")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
