package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"writeback/internal/doctor"
)

// Exit codes of doctor.
const (
	exitWarnings = 1
	exitFaults   = 2
)

// doctorView is the report as JSON.
type doctorView struct {
	Status   doctor.Status    `json:"status"`
	Findings []doctor.Finding `json:"findings"`
}

func (c *ctl) doctorCommand() *cobra.Command {
	patience := 5 * time.Second
	return c.command(spec{
		use: "doctor", short: "Check everything that Writeback stands on, and say what to do",
		long: "It looks at the configuration and the registry file as api and worker would read them,\n" +
			"NATS with its streams, Redis with its settings and shards, the token issuer, the keyset,\n" +
			"the providers' base URLs, and the clocks. It changes nothing. Give it the environment of the api.\n\n" +
			"Exit codes: 0 all is well, 1 there are warnings, 2 something fails.",
		example: "writeback doctor\nwriteback doctor --config /etc/writeback/config.yaml --json",
		timeout: 10 * time.Minute, // --patience bounds each look
		// It says itself what is wrong with the configuration.
		unconfigured: true,
		flags: func(f *pflag.FlagSet) {
			f.DurationVar(&patience, "patience", patience, "how long to wait for each dependency")
		},
		run: func(ctx context.Context, _ []string) error { return c.doctor(ctx, patience) },
	})
}

func (c *ctl) doctor(ctx context.Context, patience time.Duration) error {
	var findings []doctor.Finding
	err := c.busy(ctx, "looking", func(ctx context.Context) error {
		findings = doctor.Examine(ctx, doctor.Config{Sources: c.sources, Timeout: patience})
		return nil
	})
	if err != nil {
		return err
	}
	v := doctorView{Status: doctor.Worst(findings), Findings: findings}
	if err := c.print(v, func(w io.Writer) { writeFindings(w, v) }); err != nil {
		return err
	}
	switch v.Status {
	case doctor.Fail:
		return codeError(exitFaults)
	case doctor.Warn:
		return codeError(exitWarnings)
	case doctor.OK:
	}
	return nil
}

func writeFindings(w io.Writer, v doctorView) {
	counts := map[doctor.Status]int{}
	for _, f := range v.Findings {
		counts[f.Status]++
		row(w, strings.ToUpper(string(f.Status)), f.Check, f.What)
		if f.Fix != "" {
			row(w, "", "", "→ "+f.Fix)
		}
	}
	_, _ = fmt.Fprintf(w, "\n%d ok, %d warnings, %d failures\n", counts[doctor.OK], counts[doctor.Warn], counts[doctor.Fail])
}
