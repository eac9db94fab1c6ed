package work

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"writeback/internal/metrics"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// losses says since when streams have lost what they held; see natsq.History.
type losses interface {
	Losses(ctx context.Context, known map[string]string) (have map[string]string, operations, events *time.Time, err error)
}

// againPublisher publishes what a stream has lost; see natsq.Publisher.
type againPublisher interface {
	AcceptedAgain(ctx context.Context, m operation.Message) error
	EventAgain(ctx context.Context, e operation.Event) error
}

// Refiller publishes again what a stream has lost: it was deleted, or NATS came back without
// it or with an older one. The streams are the second copy of what is pending, and without
// the ends in them a rebuild would send again what has ended. One goroutine uses it.
type Refiller struct {
	store    *redisstore.Store
	streams  losses
	pub      againPublisher
	partners func() []uuid.UUID
	recent   time.Duration // see RestoreConfig
	log      *slog.Logger
	repairs  *metrics.Counter
}

// NewRefiller makes a refiller. partners are those of all connections.
func NewRefiller(store *redisstore.Store, s losses, pub againPublisher, partners func() []uuid.UUID, log *slog.Logger) *Refiller {
	return &Refiller{
		store: store, streams: s, pub: pub, partners: partners, recent: RestoreConfig{}.withDefaults().Recent, log: log,
		repairs: metrics.New(nil).Counter(metrics.Repairs),
	}
}

const (
	// refillFor is how long a refill may be silent before another process begins one.
	refillFor = time.Minute
	// refillMargin is how far clocks may differ, and longer than a look takes.
	refillMargin = 10 * time.Minute
	refillPage   = 256
	refillAtOnce = 64
)

// lostStreams says since when the streams lack what they had. Nil: they lack nothing.
type lostStreams struct{ operations, events *time.Time }

func (l lostStreams) none() bool { return l.operations == nil && l.events == nil }

// lacks says whether a stream lacks what happened then.
func lacks(since *time.Time, then time.Time) bool { return since != nil && !then.Before(*since) }

// Under these it is noted, beside what the streams are, that one still has to be filled, and
// since when.
const (
	notedOperations = "lost operations"
	notedEvents     = "lost events"
)

// note is the text for a loss; empty for none.
func note(since *time.Time) string {
	if since == nil {
		return ""
	}
	return strconv.FormatInt(since.UnixMicro(), 10)
}

// earlier is the earlier one of a loss and one that was noted.
func earlier(since *time.Time, noted string) *time.Time {
	us, err := strconv.ParseInt(noted, 10, 64)
	if at := time.UnixMicro(us); err == nil && (since == nil || at.Before(*since)) {
		return &at
	}
	return since
}

// Check compares the streams with what was noted of them, and fills one that has lost
// what it had. An error means that it has to be called again.
func (r *Refiller) Check(ctx context.Context) error {
	if err := r.check(ctx); err != nil {
		return fmt.Errorf("work: refill: %w", err)
	}
	return nil
}

func (r *Refiller) check(ctx context.Context) error {
	have, lost, err := r.compare(ctx)
	switch {
	case err != nil:
		return err
	case lost.none():
		return r.store.NoteStreams(ctx, have)
	}
	if mine, err := r.store.TakeRefill(ctx, refillFor); err != nil || !mine {
		return err
	}
	defer func() {
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		_ = r.store.EndRefill(release) // or it runs out
	}()
	// Another process may have filled it just now.
	if have, lost, err = r.compare(ctx); err != nil || lost.none() {
		return err
	}
	// As it is filled it begins to look whole: from now on only this says that it is not.
	have[notedOperations], have[notedEvents] = note(lost.operations), note(lost.events)
	if err := r.store.NoteStreams(ctx, have); err != nil {
		return err
	}
	if err := r.refill(ctx, lost); err != nil {
		return err
	}
	if err := r.store.NoteStreams(ctx, map[string]string{notedOperations: "", notedEvents: ""}); err != nil {
		return err
	}
	return r.check(ctx) // what it is now, and that it was not lost again meanwhile
}

// compare says what the streams are, and what they lack or still lack.
func (r *Refiller) compare(ctx context.Context) (have map[string]string, lost lostStreams, err error) {
	known, err := r.store.NotedStreams(ctx)
	if err != nil {
		return nil, lost, err
	}
	have, lost.operations, lost.events, err = r.streams.Losses(ctx, known)
	lost.operations, lost.events = earlier(lost.operations, known[notedOperations]), earlier(lost.events, known[notedEvents])
	return have, lost, err
}

// CanFill says whether the store could fill streams that are made anew: it knows them, and
// no shard has lost all it had. Else an empty stream would be taken for all there is.
func (r *Refiller) CanFill(ctx context.Context) error {
	known, err := r.store.NotedStreams(ctx)
	if err != nil {
		return fmt.Errorf("work: refill: %w", err)
	}
	emptied, err := r.store.Emptied(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("work: refill: %w", err)
	case len(known) == 0 || len(emptied) > 0:
		return errCannotFill
	}
	return nil
}

var errCannotFill = errors.New("work: refill: Redis has lost data, too, and cannot fill a stream: restore the stream from its backup")

// errNoPartners says that nobody knows whose operations there are.
var errNoPartners = errors.New("the directory has no connections")

// refill publishes again what was accepted as long ago as the stream of operations
// remembers.
func (r *Refiller) refill(ctx context.Context, lost lostStreams) error {
	partners := r.partners()
	if len(partners) == 0 {
		return errNoPartners
	}
	r.log.ErrorContext(ctx, "a stream has lost what it held; what is pending and what ended lately is published again from Redis",
		"operations", lost.operations != nil, "events", lost.events != nil)
	began, published := time.Now(), 0
	for _, partner := range partners {
		n, err := r.partner(ctx, partner, lost)
		published += n
		if err != nil {
			return err
		}
	}
	r.repairs.Add(ctx, published, metrics.QueueOperations, metrics.RepairRefilled)
	r.log.WarnContext(ctx, "the stream is filled again", "messages", published, "duration_ms", time.Since(began).Milliseconds())
	return nil
}

func (r *Refiller) partner(ctx context.Context, partner uuid.UUID, lost lostStreams) (published int, err error) {
	now := time.Now()
	q := operation.Query{PartnerID: partner, From: now.Add(-r.recent - refillMargin), To: now.Add(refillMargin), Limit: refillPage}
	blocked := map[uuid.UUID]time.Time{}
	for more := true; more; {
		var ops []operation.Operation
		if ops, more, err = r.store.ListReadable(ctx, q, r.unread); err != nil {
			return published, err
		}
		var n atomic.Int32
		g, publishing := errgroup.WithContext(ctx)
		g.SetLimit(refillAtOnce)
		for _, op := range ops {
			until, known := blocked[op.ConnectionID]
			if !known {
				if until, err = r.blocked(ctx, op.ConnectionID); err != nil {
					break
				}
				blocked[op.ConnectionID] = until
			}
			g.Go(func() error { return r.publish(publishing, op, until, lost, &n) })
		}
		err = cmp.Or(err, g.Wait())
		if published += int(n.Load()); err != nil {
			return published, err
		}
		if len(ops) > 0 {
			last := ops[len(ops)-1]
			q.Position = operation.Position{Seq: last.Seq, ID: last.ID}
		}
		if _, err := r.store.TakeRefill(ctx, refillFor); err != nil {
			return published, err
		}
	}
	return published, nil
}

// unread passes over a record: one that cannot be read must not keep the others from the stream.
func (r *Refiller) unread(id uuid.UUID, err error) {
	r.log.Error("a record cannot be read, and is not published again", "operation_id", id, "error", err)
}

// blocked is until when a connection's provider asked not to be called.
func (r *Refiller) blocked(ctx context.Context, connection uuid.UUID) (time.Time, error) {
	lane, err := r.store.Lane(ctx, connection)
	if errors.Is(err, redisstore.ErrMissing) { // nothing was noted of it since it was put back
		err = nil
	}
	return lane.Blocked, err
}

// publish says of an operation what the lost streams had said. What happens from now on is
// told by whoever does it.
func (r *Refiller) publish(ctx context.Context, op operation.Operation, blocked time.Time, lost lostStreams, n *atomic.Int32) error {
	ended := op.Status.Terminal()
	if lacks(lost.operations, op.CreatedAt()) && !ended && !op.Sync {
		if err := r.pub.AcceptedAgain(ctx, op.Message()); err != nil {
			return err
		}
		n.Add(1)
	}
	if !lacks(lost.events, op.UpdatedAt) || !ended && len(op.Attempts) == 0 {
		return nil
	}
	var e operation.Event
	if ended {
		e = operation.FinalEvent(op)
	} else {
		e = attempted(op, 0)
		rec, err := r.store.GetRecord(ctx, op.ConnectionID, op.ID) // a list does not say until when it waits
		if err != nil {
			return err
		}
		e.NextAt = rec.NextAt
	}
	e.Blocked = blocked
	if err := r.pub.EventAgain(ctx, e); err != nil {
		return err
	}
	n.Add(1)
	return nil
}
