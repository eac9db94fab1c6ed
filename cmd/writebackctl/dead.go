package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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
		Seq: m.Sequence, At: m.Time, Subject: m.Header.Get("Writeback-Subject"),
		Reason: m.Header.Get("Writeback-Reason"), Bytes: len(m.Data),
	}
	if payload {
		v.Payload = string(m.Data)
	}
	return v
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

func deadList(ctx context.Context, c *ctl, _ []string) error {
	s, err := c.deadStream(ctx)
	if err != nil {
		return err
	}
	state := s.CachedInfo().State
	views := []deadView{}
	for seq := state.LastSeq; seq >= max(state.FirstSeq, 1) && len(views) < c.limit; seq-- {
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

func deadShow(ctx context.Context, c *ctl, args []string) error {
	seq, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return wrongUsage("seq %q is not a number", args[0])
	}
	s, err := c.deadStream(ctx)
	if err != nil {
		return err
	}
	m, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return errors.New("not found")
	}
	if err != nil {
		return fmt.Errorf("NATS: message %d: %w", seq, err)
	}
	v := viewDead(m, c.payload)
	return c.print(v, func(w io.Writer) {
		row(w, "seq", v.Seq)
		row(w, "at", when(v.At))
		row(w, "subject", v.Subject)
		row(w, "reason", v.Reason)
		row(w, "bytes", v.Bytes)
		if c.payload {
			row(w, "payload", strconv.Quote(v.Payload))
		}
	})
}
