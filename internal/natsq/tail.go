package natsq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"writeback/pkg/operation"
)

// Moment is a place in the streams of operations and events: everything up to these
// sequence numbers.
type Moment struct{ Operations, Events uint64 }

// String gives the moment as text for ParseMoment.
func (m Moment) String() string {
	return strconv.FormatUint(m.Operations, 10) + "-" + strconv.FormatUint(m.Events, 10)
}

// ParseMoment reads what String gave, and nothing else.
func ParseMoment(text string) (Moment, bool) {
	a, b, ok := strings.Cut(text, "-")
	operations, err1 := strconv.ParseUint(a, 10, 63)
	events, err2 := strconv.ParseUint(b, 10, 63)
	m := Moment{operations, events}
	return m, ok && err1 == nil && err2 == nil && m.String() == text
}

// Told is what the streams say of one operation: that it was accepted, or that it
// ended.
type Told struct {
	// At is the moment right after its message. Of several in one message, all but the
	// last have the moment before it: who goes on from there is told all of them again,
	// and misses none.
	At Moment
	// Accepted is nil for an end, Ended is nil for an accept. Both are nil for a
	// message that is not wanted or not understood: only the moment has moved.
	Accepted *operation.Message
	Ended    *operation.Event
}

// ErrForgotten says that the streams do not remember as much as was asked for.
var ErrForgotten = errors.New("natsq: the streams have forgotten that")

// Tail reads the streams as they grow. Safe for concurrent use.
type Tail struct{ js jetstream.JetStream }

// NewTail makes a reader of the streams.
func NewTail(js jetstream.JetStream) *Tail { return &Tail{js} }

// beginnings are the subjects of accepted operations, and endings those of final events.
// What was published again is neither.
var beginnings = []string{SubjectQuiet, SubjectBusy, SubjectBatch, SubjectQuietBatch}

var endings = []string{SubjectSucceeded, SubjectFailed, SubjectSucceededBatch, SubjectFailedBatch}

// Now gives the present moment.
func (t *Tail) Now(ctx context.Context) (Moment, error) {
	operations, events, err := NewHistory(t.js).Ends(ctx)
	return Moment{operations, events}, err
}

// Follow passes on what comes after the moment until ctx ends, each stream in its
// order and one call at a time. wanted spares the work of decoding. Any error ends it;
// what was passed on has moved the moment. ErrForgotten: the streams went back before it.
func (t *Tail) Follow(ctx context.Context, from Moment, wanted func(data []byte) bool, pass func(Told)) error {
	operations, events, err := t.readers(ctx, from)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	at := from
	g, ctx := errgroup.WithContext(ctx)
	follow := func(c jetstream.Consumer, place *uint64, decode decoder) func() error {
		return func() error {
			return each(ctx, c, func(seq uint64, data []byte) {
				all := []Told{{}}
				if wanted(data) {
					all = decode(data)
				}
				mu.Lock()
				defer mu.Unlock()
				for i, told := range all {
					if i == len(all)-1 {
						*place = seq
					}
					told.At = at
					pass(told)
				}
			})
		}
	}
	g.Go(follow(operations, &at.Operations, decodeAccepted))
	g.Go(follow(events, &at.Events, decodeEnded))
	g.Go(func() error {
		return t.watch(ctx, func() Moment {
			mu.Lock()
			defer mu.Unlock()
			return at
		})
	})
	return g.Wait()
}

// tailEvery is how often it is looked whether the streams went back.
const tailEvery = 10 * time.Second

// watch ends with ErrForgotten once a stream ends before the place up to which it was read: it
// lost its end, or is another. Nothing would be passed on until it is as long as it was.
func (t *Tail) watch(ctx context.Context, place func() Moment) error {
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	for {
		read := place()
		asking, cancel := context.WithTimeout(ctx, infoTimeout)
		now, err := t.Now(asking)
		cancel()
		// A look that cannot be taken says nothing.
		if err == nil && (now.Operations < read.Operations || now.Events < read.Events) {
			return ErrForgotten
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// decoder reads a message. It gives one thing at least: of a message that is not
// understood, the empty one.
type decoder func(data []byte) []Told

func decodeAccepted(data []byte) []Told {
	messages, err := DecodeMessages(data)
	if err != nil {
		return []Told{{}}
	}
	all := make([]Told, len(messages))
	for i := range messages {
		all[i].Accepted = &messages[i]
	}
	return all
}

func decodeEnded(data []byte) []Told {
	events, err := DecodeEvents(data)
	if err != nil {
		return []Told{{}}
	}
	all := make([]Told, len(events))
	for i := range events {
		all[i].Ended = &events[i]
	}
	return all
}

func (t *Tail) readers(ctx context.Context, from Moment) (operations, events jetstream.Consumer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if operations, err = t.js.CreateConsumer(ctx, StreamOperations, reading(from.Operations, beginnings)); err != nil {
		return nil, nil, fmt.Errorf("natsq: tail %s: %w", StreamOperations, err)
	}
	if events, err = t.js.CreateConsumer(ctx, StreamEvents, reading(from.Events, endings)); err != nil {
		return nil, nil, fmt.Errorf("natsq: tail %s: %w", StreamEvents, err)
	}
	return operations, events, nil
}

// each hands over the messages of a consumer that nobody else reads, in order, until one is
// missing, the consumer is gone, or ctx ends. The library's ordered consumer makes itself anew,
// but does not hear a stop meanwhile, and its messages wait for no context then.
func each(ctx context.Context, c jetstream.Consumer, take func(seq uint64, data []byte)) error {
	for last := uint64(0); ; {
		n, err := eachOnce(ctx, c, last, take)
		if err != nil {
			return err
		}
		last += n
	}
}

func eachOnce(ctx context.Context, c jetstream.Consumer, last uint64, take func(seq uint64, data []byte)) (n uint64, err error) {
	once, cancel := context.WithTimeout(ctx, pullFor)
	defer cancel()
	b, err := c.Fetch(batch, jetstream.FetchContext(once), jetstream.FetchMaxBytes(batchBytes))
	if err != nil {
		return 0, fmt.Errorf("natsq: tail: %w", err)
	}
	for msg := range b.Messages() {
		n++
		meta, err := msg.Metadata()
		if err != nil {
			return n, fmt.Errorf("natsq: tail: %w", err)
		}
		if meta.Sequence.Consumer != last+n {
			return n, errGap
		}
		take(meta.Sequence.Stream, msg.Data())
	}
	if err = b.Error(); err != nil && !nothingCame(err) {
		return n, fmt.Errorf("natsq: tail: %w", err)
	}
	return n, ctx.Err()
}

// Past passes on what lies between two moments, by the time at which it was stored.
// Accepts and ends have sequences of their own, so a moment within is a place in
// both. ErrForgotten: not all of it is there any more, or from was never.
func (t *Tail) Past(ctx context.Context, from, to Moment, wanted func(data []byte) bool, pass func(Told) error) error {
	if err := t.remembered(ctx, from, to); err != nil {
		return err
	}
	at := from
	operations := &walk{tail: t, stream: StreamOperations, subjects: beginnings, place: &at.Operations, to: to.Operations, decode: decodeAccepted}
	events := &walk{tail: t, stream: StreamEvents, subjects: endings, place: &at.Events, to: to.Events, decode: decodeEnded}
	for {
		if err := errors.Join(operations.fill(ctx), events.fill(ctx)); err != nil {
			return err
		}
		next := operations
		if operations.empty() || !events.empty() && events.head().at.Before(operations.head().at) {
			next = events
		}
		if next.empty() {
			return nil
		}
		// All but the last of a message have the moment before it.
		before := at
		told := next.take(wanted)
		for i := range told {
			if told[i].At = before; i == len(told)-1 {
				told[i].At = at
			}
			if err := pass(told[i]); err != nil {
				return err
			}
		}
	}
}

// remembered checks that the streams still hold what lies between.
func (t *Tail) remembered(ctx context.Context, from, to Moment) error {
	for _, s := range []struct {
		name     string
		from, to uint64
	}{{StreamOperations, from.Operations, to.Operations}, {StreamEvents, from.Events, to.Events}} {
		stream, err := streamNow(ctx, t.js, s.name)
		if err != nil {
			return err
		}
		state := stream.CachedInfo().State
		if s.from > s.to || s.from < s.to && state.FirstSeq > s.from+1 {
			return ErrForgotten
		}
	}
	return nil
}

// walk reads one stream between two places, a batch at a time.
type walk struct {
	tail     *Tail
	stream   string
	subjects []string
	place    *uint64
	to       uint64
	decode   decoder

	consumer jetstream.Consumer
	left     uint64
	batch    []stored
}

type stored struct {
	seq  uint64
	at   time.Time
	data []byte
}

func (w *walk) empty() bool  { return len(w.batch) == 0 }
func (w *walk) head() stored { return w.batch[0] }

// take removes the first message and moves the place behind it. It gives what the
// message says, if that is wanted and understood.
func (w *walk) take(wanted func([]byte) bool) []Told {
	first := w.batch[0]
	w.batch = w.batch[1:]
	*w.place = first.seq
	if !wanted(first.data) {
		return nil
	}
	told := w.decode(first.data)
	if told[0].Accepted == nil && told[0].Ended == nil {
		return nil
	}
	return told
}

// fill reads on if nothing is at hand.
func (w *walk) fill(ctx context.Context) error {
	if !w.empty() || *w.place >= w.to {
		return nil
	}
	if w.consumer == nil {
		if err := w.open(ctx); err != nil {
			return fmt.Errorf("natsq: tail %s: %w", w.stream, err)
		}
	}
	if w.left == 0 {
		*w.place = w.to
		return nil
	}
	n, err := fetch(ctx, w.consumer, w.left, func(msg jetstream.Msg) {
		if meta, err := msg.Metadata(); err == nil && meta.Sequence.Stream <= w.to {
			w.batch = append(w.batch, stored{meta.Sequence.Stream, meta.Timestamp, msg.Data()})
		}
	})
	if err != nil {
		return fmt.Errorf("natsq: tail %s: %w", w.stream, err)
	}
	w.left -= min(w.left, n)
	if w.empty() { // all that is left is of later
		*w.place, w.left = w.to, 0
	}
	return nil
}

func (w *walk) open(ctx context.Context) (err error) {
	w.consumer, err = w.tail.js.OrderedConsumer(ctx, w.stream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: *w.place + 1, FilterSubjects: w.subjects,
	})
	if err != nil {
		return err
	}
	info, err := w.consumer.Info(ctx)
	if err != nil {
		return err
	}
	w.left = info.NumPending
	return nil
}
