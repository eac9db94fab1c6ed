package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
)

// replaying is what the flags of deadletter replay say.
type replaying struct{ all, dry bool }

// replayView is what became of one dead letter.
type replayView struct {
	Seq     uint64 `json:"seq"`
	Subject string `json:"subject"`
	// Result is replayed, would be, or kept.
	Result string `json:"result"`
	Reason string `json:"reason,omitempty"`
}

// The results.
const (
	resultReplayed = "replayed"
	resultWouldBe  = "would be replayed"
	resultKept     = "kept"
)

func (c *ctl) deadReplay(ctx context.Context, args []string, r replaying) error {
	if r.all == (len(args) > 0) {
		return wrongUsage("deadletter replay takes a number or --all")
	}
	s, err := c.deadStream(ctx)
	if err != nil {
		return err
	}
	state := s.CachedInfo().State
	first, last := max(state.FirstSeq, 1), state.LastSeq
	if !r.all {
		if first, err = deadSeq(args[0]); err != nil {
			return err
		}
		last = first
	}
	views, kept := []replayView{}, 0
	for told, seq := time.Now(), first; seq <= last; seq++ {
		v, err := c.replayOne(ctx, s, seq, r.dry)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound) && r.all:
			continue
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return errNoDeadLetter(seq)
		case err != nil:
			return fmt.Errorf("NATS: message %d: %w", seq, err)
		}
		if views = append(views, v); v.Result == resultKept {
			kept++
		}
		if time.Since(told) > slow {
			told = time.Now()
			c.say("%d of %d", seq-first+1, last-first+1)
		}
	}
	err = c.print(views, func(w io.Writer) {
		row(w, "SEQ", "SUBJECT", "RESULT", "REASON")
		for _, v := range views {
			row(w, v.Seq, v.Subject, v.Result, v.Reason)
		}
	})
	if err == nil && kept > 0 {
		return fmt.Errorf("%d of %d are still not understood and stay", kept, len(views))
	}
	return err
}

// replayOne publishes a message again and then takes it out. A crash between the two
// publishes it twice, which is harmless: what is known is not inserted again.
func (c *ctl) replayOne(ctx context.Context, s jetstream.Stream, seq uint64, dry bool) (replayView, error) {
	m, err := s.GetMsg(ctx, seq)
	if err != nil {
		return replayView{}, err
	}
	v := replayView{Seq: seq, Subject: m.Header.Get(natsq.HeaderSubject), Result: resultReplayed}
	if err := understood(v.Subject, m.Data); err != nil {
		v.Result, v.Reason = resultKept, err.Error()
		return v, nil
	}
	if dry {
		v.Result = resultWouldBe
		return v, nil
	}
	again := nats.NewMsg(v.Subject)
	again.Data = m.Data
	for name, values := range m.Header {
		// Its id would have it taken for a duplicate.
		if !strings.HasPrefix(name, "Nats-") && name != natsq.HeaderSubject && name != natsq.HeaderReason {
			again.Header[name] = values
		}
	}
	js, err := c.streams()
	if err != nil {
		return v, err
	}
	if _, err := js.PublishMsg(ctx, again); err != nil {
		return v, err
	}
	return v, s.DeleteMsg(ctx, seq)
}

// understood says why a message is still none of ours, or nothing.
func understood(subject string, data []byte) (err error) {
	switch subject {
	case natsq.SubjectQuiet, natsq.SubjectBusy, natsq.SubjectBatch, natsq.SubjectQuietBatch:
		_, err = natsq.DecodeMessages(data)
	case natsq.SubjectAttempted, natsq.SubjectSucceeded, natsq.SubjectFailed,
		natsq.SubjectAttemptedBatch, natsq.SubjectSucceededBatch, natsq.SubjectFailedBatch:
		_, err = natsq.DecodeEvents(data)
	default:
		return fmt.Errorf("nobody reads the subject %q", subject)
	}
	return err
}
