package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"writeback/internal/config"
)

// Bounds of a load test: it is for trying, not for breaking.
const (
	mostRate     = 2000
	mostCount    = 200_000
	mostDuration = 10 * time.Minute
	defaultAPI   = "http://127.0.0.1:8080"
)

// loading is what the flags of loadtest say.
type loading struct {
	rate, count, users int
	duration, settle   time.Duration
	connection         string
	really             bool
}

func (c *ctl) loadtestCommand() *cobra.Command {
	var l loading
	return c.command(spec{
		use: "loadtest", short: "Put a bounded load on a development stack, and see that nothing is lost",
		long: "It writes users of one connection through the API at an even rate, reads every accepted\n" +
			"operation until it has ended, and prints how long accepts and ends took. It ends with 1\n" +
			"if an accepted operation did not end in time, or was not found. Whatever it writes stays\n" +
			"written, so it refuses an API that is not on this machine. Its defaults are those of\n" +
			"`make dev`: the API of WRITEBACK_API_URL or " + defaultAPI + ", the demo partner, and the\n" +
			"simulator's users.",
		example: "writeback loadtest --rate 100 --count 2000\nwriteback loadtest --rate 50 --duration 30s --json",
		timeout: mostDuration + 10*time.Minute,
		flags: func(f *pflag.FlagSet) {
			f.IntVar(&l.rate, "rate", 50, fmt.Sprintf("writes a second, at most %d", mostRate))
			f.IntVar(&l.count, "count", 500, fmt.Sprintf("writes, at most %d", mostCount))
			f.DurationVar(&l.duration, "duration", 0, fmt.Sprintf("for how long to write, at most %s; with --count whatever ends first", mostDuration))
			f.DurationVar(&l.settle, "settle", time.Minute, "how long an accepted operation may take to end after the last write")
			f.StringVar(&l.connection, "connection", "00000000-0000-7000-8000-0000000000c4", "the connection whose users are written")
			f.IntVar(&l.users, "users", 100, "how many of its users to write, in turn")
			f.BoolVar(&l.really, "yes-really", false, "even if the API is not on this machine")
		},
		values: map[string]cobra.CompletionFunc{"connection": c.completeConnections},
		run:    func(ctx context.Context, _ []string) error { return c.loadtest(ctx, l) },
	})
}

func (l loading) check(api string) error {
	switch {
	case l.rate < 1 || l.rate > mostRate:
		return wrongUsage("loadtest: --rate must be 1 to %d", mostRate)
	case l.count < 1 || l.count > mostCount:
		return wrongUsage("loadtest: --count must be 1 to %d", mostCount)
	case l.duration < 0 || l.duration > mostDuration:
		return wrongUsage("loadtest: --duration must be up to %s", mostDuration)
	case l.settle < time.Second || l.settle > mostDuration:
		return wrongUsage("loadtest: --settle must be 1s to %s", mostDuration)
	case l.users < 1:
		return wrongUsage("loadtest: --users must be 1 or more")
	case !l.really && !loopback(api):
		return wrongUsage("loadtest: the API is not on this machine, and what is written stays; add --yes-really if that is meant")
	}
	return nil
}

func (c *ctl) loadtest(ctx context.Context, l loading) error {
	if c.settings.APIURL == "" {
		c.settings.APIURL = defaultAPI
	}
	if err := l.check(c.settings.APIURL); err != nil {
		return err
	}
	if c.settings.Env == config.Production && !l.really {
		return wrongUsage("loadtest: WRITEBACK_ENV is production; add --yes-really if that is meant")
	}
	connection, err := id("--connection", l.connection)
	if err != nil {
		return err
	}
	api, err := c.api()
	if err != nil {
		return err
	}
	users, err := usersOf(ctx, api, connection, l.users)
	if err != nil {
		return err
	}
	r := newLoadRun(api, connection, users, l)
	stop := c.watch(r)
	err = r.run(ctx)
	stop()
	if err != nil {
		return err
	}
	v := r.result()
	if err := c.print(v, func(w io.Writer) { writeLoad(w, v) }); err != nil {
		return err
	}
	if v.Lost > 0 || v.Accepted == 0 {
		c.say("writeback: %d operations were accepted, %d of them lost", v.Accepted, v.Lost)
		return codeError(exitFailed)
	}
	return nil
}

// watch says every second how far a run is, until it is stopped.
func (c *ctl) watch(r *loadRun) (stop func()) {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(slow)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				sent, accepted, ended := r.progress()
				c.say("sent %d of %d, accepted %d, ended %d", sent, r.writes, accepted, ended)
			}
		}
	}()
	return func() { close(over); <-done }
}

// loadView is the outcome of a load test. Times are in milliseconds.
type loadView struct {
	Connection uuid.UUID      `json:"connection_id"`
	Seconds    float64        `json:"seconds"`
	Rate       float64        `json:"accepted_per_second"`
	Sent       int            `json:"sent"`
	Accepted   int            `json:"accepted"`
	Refused    map[string]int `json:"refused"`
	Succeeded  int            `json:"succeeded"`
	Failed     int            `json:"failed"`
	Lost       int            `json:"lost"`
	LostIDs    []uuid.UUID    `json:"lost_operation_ids"`
	Accept     percentiles    `json:"accept_ms"`
	End        percentiles    `json:"time_to_end_ms"`
}

func writeLoad(w io.Writer, v loadView) {
	row(w, "connection", v.Connection)
	row(w, "sent", v.Sent)
	row(w, "accepted", fmt.Sprintf("%d, %.1f a second over %.1f s", v.Accepted, v.Rate, v.Seconds))
	for reason, n := range v.Refused {
		row(w, "not accepted", fmt.Sprintf("%d: %s", n, reason))
	}
	row(w, "succeeded", v.Succeeded)
	row(w, "failed", v.Failed)
	row(w, "lost", v.Lost)
	for _, id := range v.LostIDs {
		row(w, "", id)
	}
	row(w, "accept", v.Accept)
	row(w, "time to end", v.End)
}
