package natsq

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/convoy"
	"writeback/pkg/operation"
)

// shared publishes things of one kind. While a message of the kind waits for its ack,
// what is to be published is collected, and leaves as the next message; see convoy.
// What finds no message under way has a single one's form. Safe for concurrent use.
type shared struct {
	pub  *Publisher
	form form
	// subject is that of a message of one, many that of a message of many.
	subject, many string
	convoy        convoy.Convoy[*parcel]
}

const (
	// shareMost bounds what a message carries, and wakeMost what one that wakes a worker
	// does, since one worker gets all of it.
	shareMost = 64
	wakeMost  = 16
	// shareBytes bounds a message of many, so that no reader gets megabytes at once.
	shareBytes = 256 << 10
	// shareSlow is after which time a message without its ack does not hold the next one
	// back, and shareFlights bounds the messages under way.
	shareSlow    = 5 * time.Millisecond
	shareFlights = 8
	// shareWait bounds the time until something leaves: the rest of PublishTimeout is
	// for the ack.
	shareWait = PublishTimeout / 2
)

func newShared(pub *Publisher, form form, subject, many string, most int) *shared {
	s := &shared{pub: pub, form: form, subject: subject, many: many}
	s.convoy.Travel, s.convoy.Fit = s.send, s.fit
	s.convoy.Stayed = func(c *parcel) { s.stayed(c, c.ctx.Err()) }
	s.convoy.Room, s.convoy.Slow, s.convoy.Most = most, shareSlow, shareFlights
	return s
}

// parcel is one thing that is to be published.
type parcel struct {
	ctx  context.Context
	data []byte
	// n is how many operations or events it has: several, where one request has.
	n       int
	carried carried
	span    trace.Span
	began   time.Time
	err     error
}

// appender is an operation.Message or an operation.Event.
type appender interface {
	AppendJSON([]byte) ([]byte, error)
}

// usualBytes has room for most of what is published.
const usualBytes = 3 << 9

func encode(body appender) ([]byte, error) {
	data, err := body.AppendJSON(make([]byte, 0, usualBytes))
	if err != nil {
		return nil, fmt.Errorf("natsq: publish: %w", err)
	}
	return data, nil
}

// publish waits for the ack of the message that carries body, or for the end of ctx;
// what has left by then may still be stored. It takes no longer than PublishTimeout.
func (s *shared) publish(ctx context.Context, body appender, a *operation.Accepted) error {
	data, err := encode(body)
	if err != nil {
		return err
	}
	c := newParcel(ctx, s.subject, data, 1, a)
	if err := s.convoy.Do(ctx, c); err != nil {
		return fmt.Errorf("natsq: publish %s: %w", s.subject, err)
	}
	return c.err
}

func newParcel(ctx context.Context, subject string, data []byte, n int, a *operation.Accepted) *parcel {
	c := &parcel{data: data, n: n, began: time.Now()}
	c.ctx, c.span, c.carried = carrying(ctx, subject, len(data), n, a)
	return c
}

// fit says how much of what waits goes into one message.
func (s *shared) fit(waiting []*parcel) int {
	room := s.pub.room(shareBytes)
	for n, c := range waiting {
		if room -= len(c.data) + 1; room < 0 {
			return n
		}
	}
	return len(waiting)
}

// send publishes one message.
func (s *shared) send(batch []*parcel) {
	if batch = s.readyToLeave(batch); len(batch) > 0 {
		s.pub.sendShared(s.message(batch), batch)
	}
}

// readyToLeave drops what nobody waits for any more, and what has waited too long to
// be acked in time.
func (s *shared) readyToLeave(batch []*parcel) []*parcel {
	live := batch[:0]
	for _, c := range batch {
		err := c.ctx.Err()
		if err == nil && time.Since(c.began) > shareWait {
			err = context.DeadlineExceeded
		}
		if err == nil {
			live = append(live, c)
			continue
		}
		s.stayed(c, err)
	}
	return live
}

// stayed ends what was never sent.
func (s *shared) stayed(c *parcel, err error) {
	s.pub.traffic.published(s.subject, []*parcel{c}, err)
	c.err = fmt.Errorf("natsq: publish %s: %w", s.subject, err)
}

// message makes a message of one, or a message of many.
func (s *shared) message(batch []*parcel) *nats.Msg {
	if len(batch) == 1 {
		return batch[0].message(s.subject)
	}
	msg := nats.NewMsg(s.many)
	encoded, traces := make([][]byte, len(batch)), make([]carried, len(batch))
	for i, c := range batch {
		encoded[i], traces[i] = c.data, c.carried
	}
	msg.Data = s.form.join(encoded)
	putMany(msg.Header, traces)
	return msg
}

func (c *parcel) message(subject string) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Data = c.data
	c.carried.put(msg.Header)
	return msg
}

// sendShared publishes a message and tells all whose message it is. Its time ends with
// that of the first of them.
func (p *Publisher) sendShared(msg *nats.Msg, batch []*parcel) {
	began := batch[0].began
	for _, c := range batch {
		if c.began.Before(began) {
			began = c.began
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), began.Add(PublishTimeout))
	defer cancel()
	err := p.send(ctx, msg)
	p.traffic.published(msg.Subject, batch, err)
	for _, c := range batch {
		c.err = err
	}
}
