package tail

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/natsq"
	"writeback/pkg/operation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 30 * time.Second

var partner, other = uuid.New(), uuid.New()

// source are streams that the test fills. A message that is sent to fails makes the
// following fail.
type fake struct {
	mu      sync.Mutex
	now     natsq.Moment
	past    []natsq.Told
	pastErr error
	// reading is called by Past before each of what it passes on. Nil: nothing is.
	reading func(ctx context.Context)
	follows []natsq.Moment
	decoded int
	// asked is called by Now before it answers, once.
	asked func()
	// nowErr is what Now answers, once.
	nowErr error

	feed  chan natsq.Told
	fails chan error
}

func (f *fake) Now(context.Context) (natsq.Moment, error) {
	f.mu.Lock()
	now, asked, err := f.now, f.asked, f.nowErr
	f.asked, f.nowErr = nil, nil
	f.mu.Unlock()
	if asked != nil {
		asked()
	}
	if err != nil {
		return natsq.Moment{}, err
	}
	return now, nil
}

func (f *fake) Follow(ctx context.Context, from natsq.Moment, wanted func([]byte) bool, pass func(natsq.Told)) error {
	f.mu.Lock()
	f.follows = append(f.follows, from)
	f.mu.Unlock()
	for {
		select {
		case told := <-f.feed:
			text, _ := json.Marshal(told)
			if !wanted(text) {
				told.Accepted, told.Ended = nil, nil
			} else {
				f.mu.Lock()
				f.decoded++
				f.mu.Unlock()
			}
			pass(told)
		case err := <-f.fails:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fake) Past(ctx context.Context, _, _ natsq.Moment, _ func([]byte) bool, pass func(natsq.Told) error) error {
	for _, told := range f.past {
		if f.reading != nil {
			f.reading(ctx)
		}
		if err := pass(told); err != nil {
			return err
		}
	}
	return f.pastErr
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) followed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.follows)
}

// told is an accept of the partner at a moment.
func told(partner uuid.UUID, operations uint64) natsq.Told {
	return natsq.Told{At: natsq.Moment{Operations: operations}, Accepted: &operation.Message{
		Accepted: operation.Accepted{ID: uuid.New(), PartnerID: partner, ConnectionID: uuid.New()},
		Place:    operation.Place{Seq: 1},
	}}
}

func start(t *testing.T, cfg Config) (*Hub, *fake, context.CancelFunc) {
	t.Helper()
	h, f, cancel, _ := run(t, cfg, slog.New(slog.DiscardHandler))
	return h, f, cancel
}

// run gives a hub that runs until cancel; wait waits for its end.
func run(t *testing.T, cfg Config, log *slog.Logger) (h *Hub, f *fake, cancel context.CancelFunc, wait func()) {
	t.Helper()
	f = &fake{feed: make(chan natsq.Told), fails: make(chan error), now: natsq.Moment{Operations: 5}}
	cfg.Pause = time.Millisecond
	h = New(f, cfg, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { defer close(done); done <- h.Run(ctx) }()
	wait = func() { require.NoError(t, <-done) }
	t.Cleanup(func() { cancel(); wait() })
	return h, f, cancel, wait
}

func open(t *testing.T, h *Hub, who uuid.UUID) *Stream {
	t.Helper()
	s, err := h.Open(who)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	_, err = s.Start(t.Context())
	require.NoError(t, err)
	return s
}

func next(t *testing.T, s *Stream) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	e, err := s.Next(ctx)
	require.NoError(t, err)
	return e.At
}

func TestHub_TellsEachItsOwn(t *testing.T) {
	t.Parallel()
	h, f, _ := start(t, Config{})
	a, b, c := open(t, h, partner), open(t, h, partner), open(t, h, other)
	f.feed <- told(partner, 6)
	f.feed <- told(other, 7)
	f.feed <- told(uuid.New(), 8) // nobody listens
	f.feed <- told(partner, 9)
	for _, s := range []*Stream{a, b} {
		require.Equal(t, "6-0", next(t, s))
		require.Equal(t, "9-0", next(t, s))
	}
	require.Equal(t, "7-0", next(t, c))
	require.Equal(t, 3, f.decoded, "what nobody wants is not decoded")
	place, ok := c.Idle()
	require.True(t, ok)
	require.Equal(t, "9-0", place, "others' events move the place")
	f.feed <- told(other, 10)
	f.feed <- told(uuid.New(), 11)
	_, ok = c.Idle()
	require.False(t, ok, "something waits")
}

func TestHub_DropsTheSlow(t *testing.T) {
	t.Parallel()
	h, f, _ := start(t, Config{Buffer: 2})
	slow, quick := open(t, h, partner), open(t, h, partner)
	for n := uint64(6); n <= 8; n++ {
		f.feed <- told(partner, n)
		next(t, quick)
	}
	// What it has is still told, so that it goes on from there.
	require.Equal(t, "6-0", next(t, slow))
	require.Equal(t, "7-0", next(t, slow))
	_, err := slow.Next(t.Context())
	require.ErrorIs(t, err, ErrSlow)
	f.feed <- told(partner, 9)
	require.Equal(t, "9-0", next(t, quick), "others go on")
}

func TestHub_Bounds(t *testing.T) {
	t.Parallel()
	h, _, cancel := start(t, Config{PerPartner: 2, Total: 3})
	a := open(t, h, partner)
	open(t, h, partner)
	_, err := h.Open(partner)
	var refused *operation.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, operation.CodeRateLimited, refused.Code)
	require.Positive(t, refused.RetryAfter)
	open(t, h, other)
	_, err = h.Open(uuid.New())
	require.ErrorAs(t, err, &refused, "in all")
	a.Close()
	a.Close()
	b := open(t, h, partner)
	cancel()
	_, err = b.Next(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	require.Eventually(t, func() bool {
		_, err = h.Open(partner)
		return errors.As(err, &refused) && refused.Code == operation.CodeUnavailable
	}, soon, time.Millisecond)
}

func TestHub_ReadsOnlyWhileSomebodyListens(t *testing.T) {
	t.Parallel()
	h, f, _ := start(t, Config{})
	require.Zero(t, f.followed())
	for n := range 3 {
		s := open(t, h, partner)
		require.Eventually(t, func() bool { return f.followed() == n+1 }, soon, time.Millisecond)
		s.Close()
		require.Eventually(t, func() bool {
			select {
			case f.feed <- told(partner, 6):
				return false
			default:
				return true // nobody reads
			}
		}, soon, time.Millisecond)
		f.set(func() { f.now.Operations++ })
	}
	require.Equal(t, []natsq.Moment{{Operations: 5}, {Operations: 6}, {Operations: 7}}, f.follows)
}

// A place that cannot be read is none: nobody is told to go on from the beginning.
func TestHub_BeginsWhenItKnowsWhere(t *testing.T) {
	t.Parallel()
	f := &fake{feed: make(chan natsq.Told), fails: make(chan error), now: natsq.Moment{Operations: 5}, nowErr: errors.New("no leader")}
	h := New(f, Config{Pause: time.Millisecond}, slog.New(slog.DiscardHandler))
	s, err := h.Open(partner)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go h.follow(ctx)
	place, err := s.Start(t.Context())
	require.NoError(t, err)
	require.Equal(t, "5-0", place)
	s.Close()
}

// TestHub_LastReaderLeavesAtTheStart: who comes later hears what happens from then on,
// and not all that has happened since the one who left.
func TestHub_LastReaderLeavesAtTheStart(t *testing.T) {
	t.Parallel()
	f := &fake{feed: make(chan natsq.Told), fails: make(chan error), now: natsq.Moment{Operations: 5}}
	h := New(f, Config{Pause: time.Millisecond}, slog.New(slog.DiscardHandler))
	first, err := h.Open(partner)
	require.NoError(t, err)
	f.asked = first.Close // while the hub asks how far the streams are
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.follow(ctx)
	f.set(func() { f.now.Operations = 5000 })
	second, err := h.Open(partner)
	require.NoError(t, err)
	go h.follow(ctx)
	place, err := second.Start(t.Context())
	require.NoError(t, err)
	require.Equal(t, "5000-0", place)
	second.Close()
}

func TestHub_GoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	h, f, _ := start(t, Config{})
	s := open(t, h, partner)
	f.feed <- told(partner, 6)
	f.set(func() { f.now.Operations = 50 })
	f.fails <- errors.New("away")
	f.feed <- told(partner, 7)
	require.Equal(t, "6-0", next(t, s))
	require.Equal(t, "7-0", next(t, s))
	require.Equal(t, natsq.Moment{Operations: 6}, f.follows[1], "from where it was, not from now")
	f.set(func() { f.now.Operations = 7 })
	f.fails <- errors.New("away, and nothing has happened")
	f.feed <- told(partner, 8)
	require.Equal(t, "8-0", next(t, s))

	at := natsq.Moment{Operations: 9, Events: 9}
	for _, back := range []natsq.Moment{{Operations: 1, Events: 9}, {Operations: 9, Events: 1}} {
		more := told(partner, 9)
		more.At = at
		f.feed <- more
		require.Equal(t, at.String(), next(t, s))
		f.set(func() { f.now = back })
		f.fails <- errors.New("a stream was lost")
		_, err := s.Next(t.Context())
		require.ErrorIs(t, err, ErrClosed, "its place means nothing any more")
		s = open(t, h, partner)
	}
	f.fails <- natsq.ErrForgotten
	_, err := s.Next(t.Context())
	require.ErrorIs(t, err, ErrClosed, "they went back, and may have got more than they had")
}

func TestStream_Since(t *testing.T) {
	t.Parallel()
	h, f, _ := start(t, Config{Back: 4})
	s := open(t, h, partner)
	f.past = []natsq.Told{told(partner, 3), told(other, 4), told(partner, 5)}
	f.past[2].Accepted.Sync = true
	var got []Event
	keep := func(e Event) error { got = append(got, e); return nil }
	require.NoError(t, s.Since(t.Context(), "2-0", keep))
	require.Len(t, got, 1, "its own, but for those that make no events")
	m := f.past[0].Accepted
	require.Equal(t, operation.Operation{
		Accepted: m.Accepted, Place: m.Place, UpdatedAt: m.CreatedAt(), Status: operation.Pending, Attempts: []operation.Attempt{},
	}, got[0].Operation)
	require.NoError(t, s.Since(t.Context(), "9-3", keep), "another process is a little ahead")
	for _, gap := range []string{"0-0", "999999-0", "0-999999"} {
		require.ErrorIs(t, s.Since(t.Context(), gap, keep), ErrGap, gap)
	}
	f.pastErr = natsq.ErrForgotten
	require.ErrorIs(t, s.Since(t.Context(), "4-0", keep), ErrGap)
	f.pastErr = errors.New("away")
	require.ErrorIs(t, s.Since(t.Context(), "4-0", keep), f.pastErr, "nobody takes it for all there is")
}

func TestStream_StartWaitsForTheStreams(t *testing.T) {
	t.Parallel()
	h := New(&fake{}, Config{}, slog.New(slog.DiscardHandler)) // not running
	s, err := h.Open(partner)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Start(ctx)
	var refused *operation.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, operation.CodeUnavailable, refused.Code)
	s.Close()
	_, err = s.Start(t.Context())
	require.ErrorAs(t, err, &refused)
}
