// Package report writes what was measured: bench/results/latest.json, the plots and
// docs/performance.md. The document's words are in performance.md.tmpl.
package report

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/template"
	"time"

	"writeback/bench/measure"
)

//go:embed performance.md.tmpl
var files embed.FS

// Machine is where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	Go     string `json:"go"`
	NATS   string `json:"nats_server"`
	Redis  string `json:"redis_server"`
	Asynq  string `json:"asynq"`
	// Load is the load average of 15 minutes at the end: what else was going on.
	Load string `json:"load_average"`
}

// Run is one whole run.
type Run struct {
	Result  *measure.Result
	Machine Machine
	Took    time.Duration
	Quick   bool
	Date    string
}

// JSON writes the figures: the keys on top, the rest below "details".
func (r Run) JSON(path string) error {
	doc := map[string]any{"machine": r.Machine, "took_seconds": int(r.Took.Seconds()), "quick": r.Quick, "date": r.Date, "details": r.Result}
	for name, v := range r.Result.Keys() {
		doc[name] = rounded(v)
	}
	if b := r.Result.Batch; b != nil && b.Missing != "" {
		doc["batch_ratio"] = nil
		doc["batch_note"] = b.Missing
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func rounded(v float64) json.Number {
	if v >= 100 {
		return json.Number(fmt.Sprintf("%.0f", v))
	}
	return json.Number(fmt.Sprintf("%.3f", v))
}

// Document writes the document from its template.
func (r Run) Document(path string) error {
	t, err := template.New("performance.md.tmpl").Funcs(functions).ParseFS(files, "performance.md.tmpl")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	// Sections without figures leave empty lines.
	return os.WriteFile(path, emptyLines.ReplaceAll(out.Bytes(), []byte("\n\n")), 0o644)
}

var emptyLines = regexp.MustCompile(`\n{3,}`)

var functions = template.FuncMap{
	"mib": func(bytes any) string {
		switch v := bytes.(type) {
		case int64:
			return fmt.Sprintf("%.0f", float64(v)/(1<<20))
		case float64:
			return fmt.Sprintf("%.1f", v/(1<<20))
		}
		return "?"
	},
	"n":      thousands,
	"f":      func(digits int, v float64) string { return fmt.Sprintf("%.*f", digits, v) },
	"div":    func(a, b float64) float64 { return a / b },
	"within": func(ok bool) string { return map[bool]string{true: "yes", false: "**no**"}[ok] },
}

// thousands writes a whole number with commas.
func thousands(v any) string {
	var s string
	switch v := v.(type) {
	case float64:
		s = fmt.Sprintf("%.0f", v)
	default:
		s = fmt.Sprint(v)
	}
	for i := len(s) - 3; i > 0 && s[0] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Here describes this machine.
func Here() Machine {
	m := Machine{
		CPU: fieldOf("/proc/cpuinfo", "model name"), Memory: gib(fieldOf("/proc/meminfo", "MemTotal")), Cores: runtime.NumCPU(),
		Go: runtime.Version(), NATS: versionOf("github.com/nats-io/nats-server/v2"), Asynq: versionOf("github.com/hibiken/asynq"),
	}
	if out, err := exec.Command("redis-server", "--version").Output(); err == nil {
		_, rest, _ := strings.Cut(string(out), "v=")
		m.Redis, _, _ = strings.Cut(rest, " ")
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 2 {
			m.Load = fields[2]
		}
	}
	return m
}

// gib writes a size as /proc tells it, "1048576 kB", in GiB.
func gib(text string) string {
	var kib int64
	if _, err := fmt.Sscanf(text, "%d kB", &kib); err != nil {
		return text
	}
	return fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
}

func fieldOf(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func versionOf(module string) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
}

// Write writes everything: figures and plots into results, and the document.
func (r Run) Write(results, document string) error {
	if err := os.MkdirAll(results, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := r.JSON(filepath.Join(results, "latest.json")); err != nil {
		return err
	}
	if err := r.Plots(results); err != nil {
		return err
	}
	return r.Document(document)
}
