package natsq

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"writeback/pkg/operation"
)

// shared publishes things of one kind. While a message of the kind waits for its ack,
// what is to be published is collected, and leaves as the next message. Nothing waits
// for a timer: what finds no message under way leaves at once, in the form of a single
// one. Safe for concurrent use.
type shared struct {
	pub  *Publisher
	form form
	// subject is that of a message of one, many that of a message of many, which carries
	// most of them.
	subject, many string
	most          int

	mu      sync.Mutex
	waiting []*parcel
	flying  int
	left    time.Time // when the last message left
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

// parcel is one thing that is to be published.
type parcel struct {
	ctx     context.Context
	data    []byte
	carried carried
	span    trace.Span
	began   time.Time
	done    chan error
}

// publish waits for the ack of the message that carries body, or for the end of ctx;
// what has left by then may still be stored. It takes no longer than PublishTimeout.
func (s *shared) publish(ctx context.Context, body any, a *operation.Accepted) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("natsq: publish: %w", err)
	}
	c := newParcel(ctx, s.subject, data, a)
	s.mu.Lock()
	s.waiting = append(s.waiting, c)
	leave := s.flying == 0 || (s.flying < shareFlights && time.Since(s.left) > shareSlow)
	if leave {
		s.flying++
	}
	s.mu.Unlock()
	if leave {
		go s.fly()
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("natsq: publish %s: %w", s.subject, ctx.Err())
	}
}

func newParcel(ctx context.Context, subject string, data []byte, a *operation.Accepted) *parcel {
	c := &parcel{data: data, began: time.Now(), done: make(chan error, 1)}
	c.ctx, c.span, c.carried = carrying(ctx, subject, len(data), a)
	return c
}

// fly sends messages until nothing waits.
func (s *shared) fly() {
	runtime.Gosched() // those who are about to publish, too, come along
	for batch := s.board(); len(batch) > 0; batch = s.board() {
		if batch = s.readyToLeave(batch); len(batch) > 0 {
			s.pub.sendShared(s.message(batch), batch)
		}
	}
}

// board takes what the next message carries. With nothing, the flight is over.
func (s *shared) board() []*parcel {
	room := s.pub.room(shareBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for size := 0; n < min(len(s.waiting), s.most); n++ {
		if size += len(s.waiting[n].data) + 1; size > room && n > 0 {
			break
		}
	}
	batch := s.waiting[:n:n]
	if s.waiting = s.waiting[n:]; len(s.waiting) == 0 {
		s.waiting = nil
	}
	if s.left = time.Now(); n == 0 {
		s.flying--
	}
	return batch
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
		s.pub.traffic.published(s.subject, []*parcel{c}, err)
		c.done <- fmt.Errorf("natsq: publish %s: %w", s.subject, err)
	}
	return live
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
		c.done <- err
	}
}
