// Package tail shows each partner its own operations as they are accepted and end: it
// reads the streams once for a whole process and hands what is told to the partner's
// open streams.
//
// A stream has a bounded buffer; whoever reads too slowly is dropped and goes on from
// where it was. Nothing is kept here but the buffers: what came before is read from
// the streams again, within bounds. It refuses to promise an order over different
// operations, or to tell each event only once.
package tail

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"writeback/internal/metrics"
	"writeback/internal/natsq"
	"writeback/internal/telemetry"
	"writeback/pkg/operation"
)

// source are the streams; see natsq.Tail.
type source interface {
	Now(ctx context.Context) (natsq.Moment, error)
	Follow(ctx context.Context, from natsq.Moment, wanted func([]byte) bool, pass func(natsq.Told)) error
	Past(ctx context.Context, from, to natsq.Moment, wanted func([]byte) bool, pass func(natsq.Told) error) error
}

// Config bounds a hub. Every zero field takes the default given with it.
type Config struct {
	// PerPartner is how many streams one partner may have open. Default 10.
	PerPartner int
	// Total is how many streams there may be. Default 1000.
	Total int
	// Buffer is how many events may wait for one reader. Default 2048: what one request
	// brings at once has room beside others.
	Buffer int
	// Back is how many messages of the streams, of all partners, are read again for
	// one reader that goes on from earlier. Default 100,000.
	Back uint64
	// Pause is the wait after a failure to read the streams. Default 1 s.
	Pause time.Duration
}

func (c Config) withDefaults() Config {
	if c.PerPartner <= 0 {
		c.PerPartner = 10
	}
	if c.Total <= 0 {
		c.Total = 1000
	}
	if c.Buffer <= 0 {
		c.Buffer = 2048
	}
	if c.Back == 0 {
		c.Back = 100_000
	}
	if c.Pause <= 0 {
		c.Pause = time.Second
	}
	return c
}

// Why a stream ended.
var (
	// ErrSlow says that the reader did not keep up.
	ErrSlow = errors.New("tail: the reader is too slow")
	// ErrClosed says that the process stops, or lost its place.
	ErrClosed = errors.New("tail: closed")
)

// ErrGap says that what came before is not there, or is too much to be told again.
var ErrGap = errors.New("tail: too much has happened since")

// Hub hands what the streams tell to those who listen. Its methods may be called
// concurrently; Run once.
type Hub struct {
	source source
	cfg    Config
	log    *slog.Logger
	// away is for what fails as long as NATS is away.
	away    *slog.Logger
	dropped *metrics.Counter
	// wake says that somebody listens.
	wake chan struct{}

	mu        sync.Mutex
	streams   map[uuid.UUID]map[*Stream]struct{}
	count     int
	closed    bool
	following bool
	// stop ends the following when nobody listens any more.
	stop context.CancelFunc
	at   natsq.Moment
}

// New makes a hub. Nothing is read until somebody listens.
func New(s source, cfg Config, log *slog.Logger) *Hub {
	return &Hub{
		source: s, cfg: cfg.withDefaults(), log: log, away: telemetry.Seldom(log), wake: make(chan struct{}, 1),
		dropped: metrics.New(nil).Counter(metrics.TailsDropped), streams: map[uuid.UUID]map[*Stream]struct{}{},
	}
}

// Open starts to listen for a partner. The error is an *operation.Error: rate_limited
// for one too many, unavailable when the hub has ended. Close the stream.
func (h *Hub) Open(partner uuid.UUID) (*Stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, &operation.Error{Code: operation.CodeUnavailable, Message: "the service is stopping; connect again", RetryAfter: time.Second}
	case len(h.streams[partner]) >= h.cfg.PerPartner || h.count >= h.cfg.Total:
		return nil, &operation.Error{Code: operation.CodeRateLimited, Message: "too many streams are open", RetryAfter: 5 * time.Second}
	}
	s := &Stream{
		hub: h, partner: partner, text: []byte(partner.String()), events: make(chan natsq.Told, h.cfg.Buffer),
		begun: make(chan struct{}), gone: make(chan struct{}),
	}
	if h.streams[partner] == nil {
		h.streams[partner] = map[*Stream]struct{}{}
	}
	h.streams[partner][s] = struct{}{}
	h.count++
	if h.following {
		s.begin(h.at)
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return s, nil
}

// Run reads the streams while somebody listens, until ctx ends. Then every stream
// ends.
func (h *Hub) Run(ctx context.Context) error {
	defer h.end()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
			h.follow(ctx)
		}
	}
}

func (h *Hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.dropAll(ErrClosed)
}

// follow reads until nobody listens. After a failure it goes on from where it was.
func (h *Hub) follow(parent context.Context) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	for h.listened(ctx, cancel) {
		at, err := h.place(ctx)
		if err == nil {
			err = h.source.Follow(ctx, at, h.wanted, h.tell)
		}
		if ctx.Err() != nil {
			return
		}
		h.away.WarnContext(ctx, "following the streams for live tails", "error", err)
		if errors.Is(err, natsq.ErrForgotten) { // nobody's place means anything
			h.mu.Lock()
			h.dropLost(ctx)
			h.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(h.cfg.Pause):
		}
	}
}

// listened reports whether somebody does, and if so how the following is ended.
func (h *Hub) listened(ctx context.Context, cancel context.CancelFunc) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil || h.count == 0 {
		return false
	}
	h.stop = cancel
	return true
}

// place gives where to read on, and begins the streams that wait for it. Streams that
// were lost and made anew have gone back in time: then nobody's place means anything.
func (h *Hub) place(ctx context.Context) (natsq.Moment, error) {
	now, err := h.source.Now(ctx)
	if err != nil {
		return now, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case ctx.Err() != nil: // the last reader has left meanwhile
		return now, ctx.Err()
	case !h.following:
		h.at, h.following = now, true
	case now.Operations < h.at.Operations || now.Events < h.at.Events:
		h.dropLost(ctx) // which ends the following
	}
	for _, all := range h.streams {
		for s := range all {
			s.begin(h.at)
		}
	}
	return h.at, nil
}

// wanted reports whether a message names a partner that listens.
func (h *Hub) wanted(data []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, all := range h.streams {
		for s := range all {
			if bytes.Contains(data, s.text) {
				return true
			}
			break // the others are of the same partner
		}
	}
	return false
}

// tell hands an event to its partner's streams.
func (h *Hub) tell(told natsq.Told) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.following {
		return
	}
	h.at = told.At
	a, ok := accepted(told)
	if !ok {
		return
	}
	for s := range h.streams[a.PartnerID] {
		select {
		case s.events <- told:
		default:
			h.dropSlow(s)
		}
	}
}

// accepted gives the operation that an event is of. Operations that are written in
// their request make no events.
func accepted(told natsq.Told) (operation.Accepted, bool) {
	switch {
	case told.Accepted != nil:
		return told.Accepted.Accepted, !told.Accepted.Sync
	case told.Ended != nil:
		op := told.Ended.Operation
		return op.Accepted, op.Status.Terminal() && !op.Sync
	}
	return operation.Accepted{}, false
}

// dropSlow ends a stream whose reader has let its buffer fill. The caller holds the lock.
func (h *Hub) dropSlow(s *Stream) {
	h.dropped.Add(context.Background(), 1, metrics.TailSlow)
	h.log.Info("a live tail is ended: its reader is too slow", "partner_id", s.partner.String(), "waiting", len(s.events))
	h.drop(s, ErrSlow)
}

// dropLost ends all streams, since what they were told is not what there is now. The caller
// holds the lock.
func (h *Hub) dropLost(ctx context.Context) {
	h.dropped.Add(ctx, h.count, metrics.TailLost)
	h.log.WarnContext(ctx, "the live tails are ended: what they followed was lost or has gone back", "tails", h.count)
	h.dropAll(ErrClosed)
}

func (h *Hub) dropAll(why error) {
	for _, all := range h.streams {
		for s := range all {
			h.drop(s, why)
		}
	}
}

// drop ends a stream, once. The caller holds the lock.
func (h *Hub) drop(s *Stream, why error) {
	if s.why != nil {
		return
	}
	s.why = why
	close(s.gone)
	delete(h.streams[s.partner], s)
	if len(h.streams[s.partner]) == 0 {
		delete(h.streams, s.partner)
	}
	if h.count--; h.count == 0 && h.stop != nil {
		h.following = false
		h.stop()
		h.stop = nil
	}
}
