package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"writeback/internal/natsq"
)

// deadView is a message that could not be understood, as it is printed.
type deadView struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Subject string    `json:"subject"`
	Reason  string    `json:"reason"`
	Bytes   int       `json:"bytes"`
	Payload string    `json:"payload,omitempty"`
}

func viewDead(m *jetstream.RawStreamMsg, payload bool) deadView {
	v := deadView{
		Seq: m.Sequence, At: m.Time, Subject: m.Header.Get(natsq.HeaderSubject),
		Reason: m.Header.Get(natsq.HeaderReason), Bytes: len(m.Data),
	}
	if payload {
		v.Payload = string(m.Data)
	}
	return v
}

func (c *ctl) deadletterCommands() *cobra.Command {
	limit, payload, replay := 0, false, replaying{}
	return c.group("deadletter", "Messages that could not be understood",
		c.command(spec{
			use: "list", short: "The messages, newest first", example: "writeback deadletter list --limit 10",
			flags: func(f *pflag.FlagSet) { f.IntVar(&limit, "limit", 50, "how many to list at most") },
			run:   func(ctx context.Context, _ []string) error { return c.deadList(ctx, limit) },
		}),
		c.command(spec{
			use: "show <seq>", short: "One of them", example: "writeback deadletter show 12 --payload",
			flags: func(f *pflag.FlagSet) { payloadFlag(f, &payload) },
			run:   func(ctx context.Context, args []string) error { return c.deadShow(ctx, args, payload) },
		}),
		c.command(spec{
			use: "replay [seq]", short: "Publish again what can be understood now",
			long: "A message that this program understands goes back to the subject that it came from,\n" +
				"and out of the dead letters once it is there. What is done already is not done twice.\n" +
				"The others stay, with the reason. Without a number it takes --all.",
			example: "writeback deadletter replay 12\nwriteback deadletter replay --all --dry-run",
			timeout: 10 * time.Minute,
			flags: func(f *pflag.FlagSet) {
				f.BoolVar(&replay.all, "all", false, "all of them, oldest first")
				f.BoolVar(&replay.dry, "dry-run", false, "only say what would be published")
			},
			run: func(ctx context.Context, args []string) error { return c.deadReplay(ctx, args, replay) },
		}),
	)
}

func (c *ctl) deadStream(ctx context.Context) (jetstream.Stream, error) {
	js, err := c.streams()
	if err != nil {
		return nil, err
	}
	s, err := js.Stream(ctx, natsq.StreamDead)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("there is no stream %s: no api or worker has run on this NATS", natsq.StreamDead)
	}
	return s, err
}

// deadSeq reads the number of a dead letter.
func deadSeq(text string) (uint64, error) {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil || seq == 0 {
		return 0, wrongUsage("seq %q is not a number from 1 on", text)
	}
	return seq, nil
}

func errNoDeadLetter(seq uint64) error {
	return fmt.Errorf("there is no dead letter %d; see: writeback deadletter list", seq)
}

func (c *ctl) deadList(ctx context.Context, limit int) error {
	if limit < 1 {
		return wrongUsage("deadletter list: --limit must be 1 or more")
	}
	s, err := c.deadStream(ctx)
	if err != nil {
		return err
	}
	state := s.CachedInfo().State
	views := []deadView{}
	for seq := state.LastSeq; seq >= max(state.FirstSeq, 1) && len(views) < limit; seq-- {
		m, err := s.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("NATS: message %d: %w", seq, err)
		}
		views = append(views, viewDead(m, false))
	}
	return c.print(views, func(w io.Writer) {
		row(w, "SEQ", "AT", "SUBJECT", "BYTES", "REASON")
		for _, v := range views {
			row(w, v.Seq, when(v.At), v.Subject, v.Bytes, v.Reason)
		}
		row(w, fmt.Sprintf("%d of %d", len(views), state.Msgs))
	})
}

func (c *ctl) deadShow(ctx context.Context, args []string, payload bool) error {
	seq, err := deadSeq(args[0])
	if err != nil {
		return err
	}
	s, err := c.deadStream(ctx)
	if err != nil {
		return err
	}
	m, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return errNoDeadLetter(seq)
	}
	if err != nil {
		return fmt.Errorf("NATS: message %d: %w", seq, err)
	}
	v := viewDead(m, payload)
	return c.print(v, func(w io.Writer) {
		row(w, "seq", v.Seq)
		row(w, "at", when(v.At))
		row(w, "subject", v.Subject)
		row(w, "reason", v.Reason)
		row(w, "bytes", v.Bytes)
		if payload {
			row(w, "payload", strconv.Quote(v.Payload))
		}
	})
}
