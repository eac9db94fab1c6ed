package natsq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// watch reads a bucket and then what changes in it. It asks for messages as it hands them on,
// so that a reader that is slow has some hundreds waiting for it, and not the bucket: NATS's own
// watch is sent all there is, and needs the right to publish to $JS.FC.>. It resumes nothing.
// What could have lost an entry ends it, since the next one may be of another bucket.
type watch struct {
	js       jetstream.JetStream
	stream   string
	consumer string
	// prefix is what the subjects have before the keys.
	prefix string
	// updates are the entries that are there, a nil, and then the changes. It is closed at the
	// end; err says why then.
	updates chan jetstream.KeyValueEntry
	err     error
	stop    func()
}

const (
	// heartbeat is how often the server says that it has nothing. Two that are missing end a
	// watch, in time for another before the reader gives up.
	heartbeat = silence / 4
	// quietFor is after which time without an entry it is asked whether any is left. A watch
	// that is dead has ended by then.
	quietFor = 3 * heartbeat
	// forgotten is when the server drops the consumer of a reader whose process was killed.
	forgotten = time.Minute
)

var (
	// errGap says that a message was lost on its way; who reads on behind the last one gets it.
	errGap   = errors.New("natsq: a message was lost on its way")
	errQuiet = errors.New("natsq: no entry came for " + quietFor.String())
)

// reading is a consumer for one reader, which sees by its sequence that nothing is missing. It is
// not made anew when it is lost.
func reading(after uint64, subjects []string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, FilterSubjects: subjects,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: forgotten,
	}
}

// watchBucket begins to read the keys, as patterns (nil: all), after a revision. The caller stops
// the watch.
func watchBucket(ctx context.Context, js jetstream.JetStream, bucket string, keys []string, after uint64) (*watch, error) {
	prefix := "$KV." + bucket + "."
	var subjects []string
	for _, key := range keys {
		subjects = append(subjects, prefix+key)
	}
	w := &watch{js: js, stream: "KV_" + bucket, prefix: prefix, updates: make(chan jetstream.KeyValueEntry)}
	ctx, cancel := context.WithCancelCause(ctx)
	// A new connection may be to another server, or one that has lost the consumer.
	connected := js.Conn().StatusChanged(nats.CONNECTED)
	c, err := js.CreateConsumer(ctx, w.stream, reading(after, subjects))
	if err != nil {
		js.Conn().RemoveStatusListener(connected)
		cancel(nil)
		return nil, fmt.Errorf("natsq: watch bucket %s: %w", bucket, err)
	}
	w.consumer = c.CachedInfo().Name
	ended := make(chan struct{})
	w.stop = func() { cancel(nil); <-ended }
	go func() {
		select {
		case <-connected:
			cancel(errReconnected)
		case <-ctx.Done():
		}
	}()
	go func() {
		defer close(ended)
		defer w.leave(ctx)
		defer js.Conn().RemoveStatusListener(connected)
		defer cancel(nil)
		defer close(w.updates)
		w.err = w.run(ctx, c)
	}()
	return w, nil
}

// leave spares the server the consumer, which it would drop by itself.
func (w *watch) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer cancel()
	_ = w.js.DeleteConsumer(ctx, w.stream, w.consumer)
}

// run hands on what comes until something breaks it.
func (w *watch) run(ctx context.Context, c jetstream.Consumer) error {
	messages, err := c.Messages(jetstream.PullHeartbeat(heartbeat), jetstream.PullMaxMessages(jetstream.DefaultMaxMessages))
	if err != nil {
		return err
	}
	defer messages.Stop()
	n, err := w.present(ctx, c, messages)
	for err == nil || errors.Is(err, errQuiet) {
		if _, err = w.step(ctx, messages, n+1); err == nil {
			n++
		}
	}
	return err
}

// present hands on what was there when the watch began, and the mark. It gives how many
// entries that were.
func (w *watch) present(ctx context.Context, c jetstream.Consumer, messages jetstream.MessagesContext) (n uint64, err error) {
	left, late := c.CachedInfo().NumPending, false
	for all := left == 0; !all; {
		pending, err := w.step(ctx, messages, n+1)
		if err == nil {
			n++
			all, late = n >= left || pending == 0, false
		}
		if errors.Is(err, errQuiet) {
			all, late, err = caughtUp(ctx, c, n, late)
		}
		if err != nil {
			return n, err
		}
	}
	if !w.pass(ctx, nil) {
		return n, context.Cause(ctx)
	}
	return n, nil
}

// caughtUp reports whether nothing is left behind the n entries that came: what was left may
// have been removed before it was sent. What was sent and has not come is on its way the first
// time, and late; the second time it is lost.
func caughtUp(ctx context.Context, c jetstream.Consumer, n uint64, late bool) (all, nowLate bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := c.Info(ctx)
	switch {
	case err != nil:
		return false, late, err
	case info.Delivered.Consumer > n && late:
		return false, late, errGap
	case info.Delivered.Consumer > n:
		return false, true, nil
	}
	return info.NumPending == 0, false, nil
}

// step hands on the next message, which is the nth, and gives how many there are behind it.
// errQuiet: none came for a while.
func (w *watch) step(ctx context.Context, messages jetstream.MessagesContext, n uint64) (pending uint64, err error) {
	waiting, stop := context.WithTimeoutCause(ctx, quietFor, errQuiet)
	defer stop()
	msg, err := messages.Next(jetstream.NextContext(waiting))
	switch {
	case err != nil && waiting.Err() != nil:
		return 0, context.Cause(waiting)
	case err != nil:
		return 0, err
	}
	meta, err := msg.Metadata()
	switch {
	case err != nil:
		return 0, err
	case meta.Sequence.Consumer != n:
		return 0, errGap
	case !w.pass(ctx, &bucketEntry{msg, *meta, w.prefix}):
		return 0, context.Cause(ctx)
	}
	return meta.NumPending, nil
}

// pass is false if nobody reads any more.
func (w *watch) pass(ctx context.Context, e jetstream.KeyValueEntry) bool {
	select {
	case w.updates <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// ReadBucket takes in what a bucket holds after a revision.
func ReadBucket(ctx context.Context, js jetstream.JetStream, bucket string, after uint64, take func(jetstream.KeyValueEntry)) error {
	w, err := watchBucket(ctx, js, bucket, nil, after)
	if err != nil {
		return err
	}
	defer w.stop()
	for e := range w.updates {
		if e == nil {
			return nil
		}
		take(e)
	}
	return fmt.Errorf("natsq: read bucket %s: %w", bucket, w.err)
}

// bucketEntry is a message of a bucket.
type bucketEntry struct {
	msg    jetstream.Msg
	meta   jetstream.MsgMetadata
	prefix string
}

func (e *bucketEntry) Bucket() string     { return strings.TrimPrefix(e.meta.Stream, "KV_") }
func (e *bucketEntry) Key() string        { return strings.TrimPrefix(e.msg.Subject(), e.prefix) }
func (e *bucketEntry) Value() []byte      { return e.msg.Data() }
func (e *bucketEntry) Revision() uint64   { return e.meta.Sequence.Stream }
func (e *bucketEntry) Created() time.Time { return e.meta.Timestamp }
func (e *bucketEntry) Delta() uint64      { return e.meta.NumPending }

// Operation takes whatever is no plain value as the key's end.
func (e *bucketEntry) Operation() jetstream.KeyValueOp {
	h := e.msg.Headers()
	switch {
	case h.Get("KV-Operation") == "DEL":
		return jetstream.KeyValueDelete
	case h.Get("KV-Operation") != "", h.Get(jetstream.MarkerReasonHeader) != "":
		return jetstream.KeyValuePurge
	}
	return jetstream.KeyValuePut
}
