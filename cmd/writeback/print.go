package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// print prints the value as JSON if asked, else what text writes, in columns.
func (c *ctl) print(value any, text func(w io.Writer)) error {
	if c.json {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(value)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// row writes one line of columns. Partners and providers wrote some of it: what nobody sees
// is shown as U+FFFD, since to a terminal it is a command.
func row(w io.Writer, columns ...any) {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return unicode.ReplacementChar
		}, fmt.Sprint(c))
	}
	_, _ = fmt.Fprintln(w, strings.Join(texts, "\t"))
}

// say writes a line of progress, apart from the output.
func (c *ctl) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.errOut, format+"\n", args...)
}

// slow is from when on a command says that it is not done.
const slow = time.Second

// busy runs a step that cannot tell how far it is, and says each second that it
// goes on.
func (c *ctl) busy(ctx context.Context, what string, step func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- step(ctx) }()
	tick := time.NewTicker(slow)
	defer tick.Stop()
	for began := time.Now(); ; {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			c.say("%s, %s", what, time.Since(began).Round(time.Second))
		}
	}
}

func id(what, text string) (uuid.UUID, error) {
	v, err := uuid.Parse(text)
	if err != nil {
		return v, wrongUsage("%s %q is not a UUID", what, text)
	}
	return v, nil
}

// when shows a time, or a dash.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// moment shows a time that may be absent.
func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return when(*t)
}

// stamp is a time in JSON: null when there is none.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func short(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }
