package natsq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/pkg/operation"
)

// Headers of a dead letter: why it is one, and the subject that it came from.
const (
	HeaderReason  = "Writeback-Reason"
	HeaderSubject = "Writeback-Subject"
)

// ErrAway says that NATS is not connected; nothing was sent.
var ErrAway = errors.New("natsq: NATS is not connected")

// PublishTimeout bounds one publish, its ack included.
const PublishTimeout = 2 * time.Second

// mostPublishes bounds the publishes of a process that wait for their acks.
const mostPublishes = 16384

// Publishing are the options that a Publisher's JetStream context needs: a publish whose
// ack is lost is forgotten after PublishTimeout.
func Publishing() []jetstream.JetStreamOpt {
	return []jetstream.JetStreamOpt{
		jetstream.WithPublishAsyncTimeout(PublishTimeout), jetstream.WithPublishAsyncMaxPending(mostPublishes),
	}
}

// Publisher writes to the streams and waits for the ack. Safe for concurrent use.
type Publisher struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	traffic traffic

	quiet, busy, again                          *shared
	attempted, succeeded, failed                *shared
	delivery, deliverySucceeded, deliveryFailed *shared
}

// NewPublisher makes a publisher on a connection that the caller owns.
func NewPublisher(nc *nats.Conn, js jetstream.JetStream) *Publisher {
	p := &Publisher{nc: nc, js: js, traffic: newSending()}
	p.quiet = newShared(p, operationsForm, SubjectQuiet, SubjectQuietBatch, wakeMost)
	p.busy = newShared(p, operationsForm, SubjectBusy, SubjectBatch, shareMost)
	p.again = newShared(p, operationsForm, SubjectAgain, SubjectAgainBatch, shareMost)
	p.attempted = newShared(p, eventsForm, SubjectAttempted, SubjectAttemptedBatch, shareMost)
	p.succeeded = newShared(p, eventsForm, SubjectSucceeded, SubjectSucceededBatch, shareMost)
	p.failed = newShared(p, eventsForm, SubjectFailed, SubjectFailedBatch, shareMost)
	p.delivery = newShared(p, operationsForm, SubjectDelivery, SubjectDeliveryBatch, shareMost)
	p.deliverySucceeded = newShared(p, eventsForm, SubjectDeliverySucceeded, SubjectDeliverySucceededBatch, shareMost)
	p.deliveryFailed = newShared(p, eventsForm, SubjectDeliveryFailed, SubjectDeliveryFailedBatch, shareMost)
	return p
}

// Connected reports whether a publish can go out now.
func (p *Publisher) Connected() bool { return p.nc.IsConnected() }

// Accepted publishes an accepted operation. A quiet one wakes a worker; a busy one
// belongs to a lane that is looked at anyway.
func (p *Publisher) Accepted(ctx context.Context, m operation.Message, quiet bool) error {
	if quiet {
		return p.quiet.publish(ctx, &m, &m.Accepted)
	}
	return p.busy.publish(ctx, &m, &m.Accepted)
}

// Event publishes what happened to an operation.
func (p *Publisher) Event(ctx context.Context, e operation.Event) error {
	shared := p.attempted
	switch e.Kind {
	case operation.EventSucceeded:
		shared = p.succeeded
	case operation.EventFailed:
		shared = p.failed
	case operation.EventAttempted:
	}
	return shared.publish(ctx, &e, &e.Operation.Accepted)
}

// AcceptedAgain publishes an accepted operation whose message a stream has lost. It wakes
// nobody, and neither webhooks nor tails are told of it.
func (p *Publisher) AcceptedAgain(ctx context.Context, m operation.Message) error {
	return p.again.publish(ctx, &m, &m.Accepted)
}

// EventAgain publishes an event that a stream has lost. It goes where attempts go, also if
// it is final: who listens to ends has heard of it.
func (p *Publisher) EventAgain(ctx context.Context, e operation.Event) error {
	return p.attempted.publish(ctx, &e, &e.Operation.Accepted)
}

// Dead keeps a message that could not be understood, with the reason.
func (p *Publisher) Dead(ctx context.Context, original jetstream.Msg, reason string) error {
	return p.dead(ctx, original, "", original.Data(), original.Subject(), reason)
}

// deadOne keeps one thing of a message of many, in the form and with the subject of a
// single one.
func (p *Publisher) deadOne(ctx context.Context, original jetstream.Msg, o odd) error {
	subject := strings.TrimSuffix(original.Subject(), manySuffix)
	return p.dead(ctx, original, fmt.Sprintf("-%d", o.at), o.data, subject, o.err.Error())
}

func (p *Publisher) dead(ctx context.Context, original jetstream.Msg, place string, data []byte, subject, reason string) error {
	msg := nats.NewMsg(SubjectDead)
	msg.Data = data
	msg.Header.Set(HeaderReason, reason)
	msg.Header.Set(HeaderSubject, subject)
	if meta, err := original.Metadata(); err == nil {
		// The same dead message twice is stored once.
		msg.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("%s-%d%s", meta.Stream, meta.Sequence.Stream, place))
	}
	ctx, cancel := context.WithTimeout(ctx, PublishTimeout)
	defer cancel()
	return p.send(ctx, msg)
}

// send waits for the ack, or for the end of ctx.
func (p *Publisher) send(ctx context.Context, msg *nats.Msg) error {
	if !p.Connected() {
		return ErrAway
	}
	// The acks of many publishes under way come over one inbox.
	future, err := p.js.PublishMsgAsync(msg, jetstream.WithRetryAttempts(0))
	switch {
	case errors.Is(err, nats.ErrReconnectBufExceeded): // it went away since we asked
		return ErrAway
	case err != nil:
		return fmt.Errorf("natsq: publish %s: %w", msg.Subject, err)
	}
	select {
	case <-future.Ok():
		return nil
	case err := <-future.Err():
		return fmt.Errorf("natsq: publish %s: %w", msg.Subject, err)
	case <-ctx.Done():
		return fmt.Errorf("natsq: publish %s: %w", msg.Subject, ctx.Err())
	}
}
