package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"writeback/internal/devstack"
	"writeback/internal/sandbox"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// printer writes the stories as aligned lines.
type printer struct {
	out    io.Writer
	colour bool
}

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// colourful says whether colour is wanted: on a terminal that has it, unless
// NO_COLOR is set.
func colourful(out io.Writer, getenv func(string) string) bool {
	f, ok := out.(*os.File)
	if !ok || getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p printer) paint(colour, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format+"\n", args...) }

func (p printer) gap() { p.line("") }

func (p printer) head(s *devstack.Stack, took time.Duration) {
	u := s.URLs()
	p.line("%s", p.paint(bold, "Writeback: api, worker, NATS, Redis, token issuer and provider sandbox in this process"))
	for _, row := range [][2]string{
		{"up in", short(took)}, {"API", u.API}, {"providers", u.Sandbox}, {"Redis", s.Redis()}, {"token", "POST " + u.Token},
	} {
		p.row(row[0], "%s", row[1])
	}
	p.gap()
}

func (p printer) end(took time.Duration) {
	p.line("%s", p.paint(green, fmt.Sprintf("Everything was as told, checked at the providers. %s in all; nothing is left running.", short(took))))
	p.line("`make dev` starts the same and keeps it running.")
}

func (p printer) story(n int, title string) {
	p.line("%s", p.paint(bold, fmt.Sprintf("%d. %s", n, title)))
}

func (p printer) sub(title string) { p.line("   %s", p.paint(bold, title)) }

// row is one line of a story: what it is about, and the text.
func (p printer) row(label, format string, args ...any) {
	p.line("     %s %s", p.paint(dim, fmt.Sprintf("%-10s", label)), fmt.Sprintf(format, args...))
}

func (p printer) good(text string) string { return p.paint(green, text) }

// code is an HTTP status in its colour.
func (p printer) code(status int) string {
	colour := green
	switch {
	case status >= 500 || status == 0:
		colour = red
	case status >= 300:
		colour = yellow
	}
	return p.paint(colour, fmt.Sprint(status))
}

// attempt is one row of the attempt log, with the wait before it.
func (p printer) attempt(logs []wire.Log, i int) {
	l, status, detail := logs[i], "no answer", ""
	if l.ResponseStatusCode != nil {
		status = p.code(*l.ResponseStatusCode)
	}
	result := p.good(string(l.Status))
	if l.Status != operation.AttemptSucceeded {
		result = p.paint(red, string(l.Status))
		if l.ErrorType != nil && l.ErrorDetails != nil {
			detail = fmt.Sprintf("  %s: %s", *l.ErrorType, clip(*l.ErrorDetails, 70))
		}
	}
	waited := ""
	if i > 0 {
		waited = "  after " + short(l.CreatedAt.Sub(logs[i-1].UpdatedAt))
	}
	p.row(fmt.Sprintf("attempt %d", i+1), "%s %s in %s%s%s", status, result, short(l.UpdatedAt.Sub(l.CreatedAt)), waited, detail)
}

// received is one call as the provider wrote it down. Of its body the keys of
// want are shown and the others counted.
func (p printer) received(r sandbox.Record, want values) {
	text := fmt.Sprintf("%s %s", r.Method, r.Path)
	if r.Call != "" {
		text += " (" + r.Call + ")"
	}
	p.row("received", "%s -> %s", text, p.code(r.Status))
	shown, more := sent(r.Body, want)
	if len(shown) == 0 || !r.Write {
		return
	}
	rest := ""
	if more > 0 {
		rest = fmt.Sprintf("  (and %d more keys)", more)
	}
	p.row("", "%s%s", pairs(shown), rest)
}

// sent picks the keys of want out of a body; MyGeotab's are inside an entity.
func sent(body json.RawMessage, want values) (shown values, more int) {
	var envelope struct {
		Params struct {
			Entity values `json:"entity"`
		} `json:"params"`
	}
	var flat values
	if json.Unmarshal(body, &flat) != nil {
		return nil, 0
	}
	if json.Unmarshal(body, &envelope) == nil && envelope.Params.Entity != nil {
		flat = envelope.Params.Entity
	}
	shown = make(values)
	for key := range want {
		if v, ok := flat[key]; ok {
			shown[key] = v
		}
	}
	return shown, len(flat) - len(shown)
}

// pairs are the fields in one line, by name.
func pairs(v values) string {
	out := make([]string, 0, len(v))
	for _, key := range slices.Sorted(maps.Keys(v)) {
		text := fmt.Sprint(v[key])
		if strings.ContainsRune(text, ' ') {
			text = fmt.Sprintf("%q", text)
		}
		out = append(out, key+"="+text)
	}
	return strings.Join(out, " ")
}

// short is a duration as people say it.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func clip(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "..."
	}
	return text
}
