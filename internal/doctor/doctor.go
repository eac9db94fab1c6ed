// Package doctor asks everything that Writeback stands on how it is, and says of each
// fault what to do about it.
//
// It reads only: it creates no stream and no bucket, and takes part in nothing. It
// shows no password, credential or personal data.
package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"writeback/internal/config"
)

// Status is how a check ended.
type Status string

// The statuses, from good to bad.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Finding is one row of the report.
type Finding struct {
	// Check names what was looked at, for example "redis memory policy". Names are
	// stable.
	Check  string `json:"check"`
	Status Status `json:"status"`
	// What was seen, in one line.
	What string `json:"what"`
	// Fix is what to do. Empty where nothing has to be done.
	Fix string `json:"fix"`
}

// Config says what to look at.
type Config struct {
	// Sources of the settings of api and worker.
	Sources config.Sources
	// Now is the clock that others are compared with. Nil is time.Now.
	Now func() time.Time
	// Timeout bounds each dependency. Zero is 5 s.
	Timeout time.Duration
	// Started is told of each part that is looked at, for progress. Nil: nobody is.
	Started func(part string)
}

// report collects the findings of one part.
type report struct{ findings []Finding }

func (r *report) ok(check, format string, args ...any) {
	r.findings = append(r.findings, Finding{Check: check, Status: OK, What: fmt.Sprintf(format, args...)})
}

func (r *report) warn(check, fix, format string, args ...any) {
	r.findings = append(r.findings, Finding{Check: check, Status: Warn, What: fmt.Sprintf(format, args...), Fix: fix})
}

func (r *report) fail(check, fix, format string, args ...any) {
	r.findings = append(r.findings, Finding{Check: check, Status: Fail, What: fmt.Sprintf(format, args...), Fix: fix})
}

// part is one dependency, looked at by itself.
type part struct {
	name string
	look func(ctx context.Context, r *report)
}

// Examine looks at everything at once and gives the findings in a fixed order. It
// takes as long as the slowest part, at most the timeout.
func Examine(ctx context.Context, cfg Config) []Finding {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Started == nil {
		cfg.Started = func(string) {}
	}
	settings := &report{}
	s := readSettings(cfg.Sources, settings)
	lookAtCertificate(settings, s, cfg.Now())
	parts := []part{
		{"nats", func(ctx context.Context, r *report) { lookAtNATS(ctx, r, s, cfg.Now) }},
		{"redis", func(ctx context.Context, r *report) { lookAtRedis(ctx, r, s, cfg.Now) }},
		{"issuer", func(ctx context.Context, r *report) { lookAtIssuer(ctx, r, s, cfg.Now) }},
		{"registry", func(_ context.Context, r *report) { lookAtRegistry(r, s, cfg.Sources.Environ) }},
		{"keyset", func(_ context.Context, r *report) { lookAtKeyset(r, s) }},
		{"providers", func(ctx context.Context, r *report) { lookAtProviders(ctx, r, s) }},
	}
	reports := make([]report, len(parts))
	var wg sync.WaitGroup
	for i, p := range parts {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
			defer cancel()
			cfg.Started(p.name)
			p.look(ctx, &reports[i])
		})
	}
	wg.Wait()
	out := settings.findings
	for _, r := range reports {
		out = append(out, r.findings...)
	}
	return out
}

// Worst gives the worst status of the findings; OK if there are none.
func Worst(findings []Finding) Status {
	worst := OK
	for _, f := range findings {
		switch f.Status {
		case Fail:
			return Fail
		case Warn:
			worst = Warn
		case OK:
		}
	}
	return worst
}
