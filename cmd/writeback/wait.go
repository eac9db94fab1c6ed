package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// asLong is longer than any pod lives.
const asLong = 10 * 365 * 24 * time.Hour

// waitCommand is what a pod for operators runs: its image has no shell to sleep in.
func (c *ctl) waitCommand() *cobra.Command {
	return c.command(spec{
		use: "wait", short: "Do nothing until it is stopped",
		long:    "For a container that other commands are run in: the chart's tools.enabled makes one.",
		example: "writeback wait", timeout: asLong, unconfigured: true,
		run: func(ctx context.Context, _ []string) error {
			<-ctx.Done()
			return nil
		},
	})
}
