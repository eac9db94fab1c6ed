package redisstore_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// machine does random things to a real store and to the model, and compares them
// after each. Time is the test's own.
type machine struct {
	*model
	ctx     context.Context
	rdb     *redis.Client
	store   *redisstore.Store
	partner uuid.UUID
	calls   []*mcall
	nexts   []asked
	acks    []redisstore.Ack
	before  map[uuid.UUID]seen
	// handovers are what the worker named listener got.
	handovers <-chan redisstore.HandedOver
}

// listener is the worker that listens in all histories.
const listener = "listener"

// asked is a next that was sent.
type asked struct {
	lane *mlane
	ids  []uuid.UUID
}

// GoString keeps rapid's reports short.
func (a asked) GoString() string { return fmt.Sprintf("%d ids of %#v", len(a.ids), a.lane) }

// long runs many more histories.
func long() bool { return os.Getenv("REVIEW_LONG") != "" }

// TestModel_RandomHistories compares the scripts with the model under random
// operations, duplicates, late and reordered messages, and lapses of time.
func TestModel_RandomHistories(t *testing.T) {
	if long() {
		setFlags(t, map[string]string{"checks": "3000", "steps": "100", "shrinktime": "30s"})
	} else { // it takes the flags as they are
		t.Parallel()
	}
	rdb := client(t, testenv.Redis(t))
	a := alter(rdb, virtualTime)
	play(t, rdb)
	a.requireFound(t)
}

// earlySeeds are seeds whose histories find a missing rule early. When they no longer do, since
// the machine draws otherwise, the search is longer and finds it all the same.
var earlySeeds = map[string]string{
	"one call of a user": "6", "sync is never repeated": "6", "the last attempt": "9", "older than a call that ends": "24",
	"order of sync": "11", "lost replies": "1", "others that wait": "1", "a worker that is gone": "13",
}

// TestModel_FindsMissingRules takes rules out of the scripts, and requires that the
// random histories find each.
func TestModel_FindsMissingRules(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit edit
		rare bool // it takes long to find
	}{
		{"only the head of a mailbox", edit{"call('ZREM', P .. 'ready:' .. o.conn, two[2]) == 1", "call('ZSCORE', P .. 'ready:' .. o.conn, two[2])"}, true},
		{"one call of a user", edit{"if o.turn or call('ZREM', P .. 'ready:' .. c, o.id) == 1 then head(c, o.user) end", "call('ZREM', P .. 'ready:' .. c, o.id) head(c, o.user)"}, false},
		{"the cap", edit{"inflight >= cap", "inflight > cap"}, false},
		{"one probe", edit{"if l.open > 0 then cap = 1 end", ""}, true},
		{"the rate", edit{"max(l.tat, us) + l.interval)", "us + l.interval)"}, true},
		{"given back by time", edit{"local back = l.interval - (us - leased_us(o))", "local back = l.interval"}, true},
		{"due for what is ready", edit{"if best and turn > turns_by() then best = max(best, turn) end", "best = nil"}, false},
		{"turns in order", edit{"add(l.ready, int(turn_of(seq)), id)", "add(l.ready, '0', id)"}, false},
		{"due for deadlines", edit{"if deadline == nil then deadline = first(l.pend) end", "deadline = first(l.pend) and now + 1e12"}, false},
		{"due after new limits", edit{"look(l) -- the limits may be new", ""}, true},
		{"sole final state", edit{"verdict == 'success' and was_pending", "verdict == 'success'"}, true},
		{"acks of an old row", edit{"if tonumber(o.f.acked_rows or 0) >= at then", "if false then"}, true},
		{"acks of an older final event", edit{"not final and same and tonumber(more_rows) == rows then", "not final then"}, true},
		{"the version of rows", edit{"local same = version == (v[3] or '0')", "local same = true"}, true},
		{"sync is never repeated", edit{"elseif o.sync == '1' then", "elseif false then"}, false},
		{"the last attempt", edit{"elseif made >= tonumber(o.max) then", "elseif false then"}, false},
		{"marks", edit{"if settle(o, spare(args[5], spares), 0) then", "if false then"}, true},
		{"seq of a message", edit{"if newest then shard.seq", "if false then shard.seq"}, false},
		{"older than a call that ends", edit{"if reach ~= 'uncalled' and closed() > 0 then overtake(", "if not held and closed() > 0 then overtake("}, false},
		{"older than one that ended late", edit{"if reach ~= 'uncalled' and closed() > 0 then overtake(", "if held and closed() > 0 then overtake("}, true},
		{"order of sync", edit{"if earlier or not at or at > now then", "if not at or at > now then"}, false},
		{"a worker that is gone", edit{"not asked or tonumber(heard[2]) == 0", "not asked"}, false},
		{"others that wait", edit{"and (outstanding == 0 or size(l.ready) == 0)", ""}, false},
		{"lost replies", edit{"local o = out[attempt] and open(out[attempt])", "local o = nil"}, false},
	} {
		if tt.rare && !long() {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			setFlags(t, map[string]string{"checks": "2000", "steps": "60", "shrinktime": "0s", "seed": cmp.Or(earlySeeds[tt.name], "10")})
			rdb := client(t, testenv.Redis(t))
			without := alter(rdb, virtualTime, tt.edit)
			found := &quiet{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				play(found, rdb)
			}()
			<-done
			without.requireFound(t)
			require.True(t, found.failed, "no history needs this rule")
		})
	}
}

// quiet keeps to itself that a history failed.
type quiet struct {
	testing.TB
	failed bool
}

func (q *quiet) Errorf(string, ...any) { q.failed = true }
func (q *quiet) Error(...any)          { q.failed = true }
func (q *quiet) Fail()                 { q.failed = true }
func (q *quiet) Failed() bool          { return q.failed }
func (q *quiet) Logf(string, ...any)   {}
func (q *quiet) Log(...any)            {}

// FailNow ends the goroutine, as a test's does.
func (q *quiet) FailNow() {
	q.failed = true
	runtime.Goexit()
}

// Fatalf fails for good.
func (q *quiet) Fatalf(string, ...any) { q.FailNow() }

// Fatal fails for good.
func (q *quiet) Fatal(...any) { q.FailNow() }

// setFlags sets how rapid works, until the test ends.
func setFlags(t *testing.T, flags map[string]string) {
	t.Helper()
	flags["nofailfile"] = "true"
	for name, value := range flags {
		f := flag.Lookup("rapid." + name)
		was := f.Value.String()
		require.NoError(t, f.Value.Set(value))
		t.Cleanup(func() { _ = f.Value.Set(was) })
	}
}

// play runs random histories.
func play(t testing.TB, rdb *redis.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	handovers := make(chan redisstore.HandedOver, 1)
	go redisstore.New(rdb, redisstore.Config{}).Listen(ctx, listener, func() {}, func(h redisstore.HandedOver, _ error) { handovers <- h })
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t, rdb)
		m.handovers = handovers
		t.Repeat(map[string]func(*rapid.T){
			"":          m.check,
			"accept":    m.acceptNew,
			"acceptBy":  m.acceptKeyed,
			"acceptTwo": m.acceptAgain,
			"sync":      m.acceptSync,
			"offered":   m.acceptOffered,
			"next":      m.next,
			"nextMore":  m.next,
			"nextTwice": m.nextAgain,
			"nextHeal":  m.nextMessage,
			"record":    m.recordHeld,
			"recordAny": m.recordAny,
			"release":   m.releaseAny,
			"cancel":    m.cancelAny,
			"pause":     m.pauseAny,
			"cap":       m.newCap,
			"pass":      m.passShort,
			"passLong":  m.passLong,
			"publish":   m.publish,
			"acked":     m.acked,
			"poll":      m.poll,
		})
	})
}

func newMachine(t *rapid.T, rdb *redis.Client) *machine {
	cfg := redisstore.Config{
		StartWindow: 10 * time.Millisecond, Margin: 10 * time.Millisecond,
		BreakerThreshold: 2, BreakerOpen: 60 * time.Millisecond, LaneBound: 6, OutboxBound: 9,
	}
	m := &machine{
		model: &model{now: time.Now().UnixMicro(), cfg: cfg, keys: map[string]operation.Key{}, owner: map[string]*mop{}},
		ctx:   context.Background(), rdb: rdb, store: redisstore.New(rdb, cfg), partner: uuid.New(),
		before: map[uuid.UUID]seen{},
	}
	require.NoError(t, rdb.FlushAll(m.ctx).Err())
	// Both lanes in one shard: what they share is shared in earnest.
	first := uuid.New()
	second := uuid.New()
	for operation.ShardOf(second) != operation.ShardOf(first) {
		second = uuid.New()
	}
	for _, id := range []uuid.UUID{first, second} {
		l := &mlane{id: id, users: []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}}
		l.has = redisstore.Limits{InFlight: 8, Burst: 1}
		l.want = redisstore.Limits{
			InFlight: rapid.IntRange(1, 3).Draw(t, "cap"), Call: 20 * time.Millisecond,
			PerSecond: rapid.SampledFrom([]float64{0, 0, 40, 200}).Draw(t, "rate"),
			Burst:     rapid.IntRange(1, 2).Draw(t, "burst"),
		}
		m.lanes = append(m.lanes, l)
	}
	require.NoError(t, setClock(m.ctx, rdb, m.now))
	require.NoError(t, m.store.Begin(m.ctx, []int{m.shard()}))
	// It has lost its data before, long ago.
	require.NoError(t, rdb.Set(m.ctx, fmt.Sprintf("wb:{%02d}:not_before", m.shard()), 1, 0).Err())
	return m
}

func (m *machine) shard() int { return operation.ShardOf(m.lanes[0].id) }

func (m *machine) lane(t *rapid.T) *mlane { return rapid.SampledFrom(m.lanes).Draw(t, "lane") }

// lives are how long operations may be pending: some end soon.
var lives = rapid.SampledFrom([]time.Duration{25 * time.Millisecond, 120 * time.Millisecond, time.Hour, time.Hour})

func (m *machine) draw(t *rapid.T, l *mlane) operation.Accepted {
	return operation.Accepted{
		Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: m.partner, ConnectionID: l.id,
		Provider: "catena_simulator", Resource: operation.ResourceUser,
		ResourceID: rapid.SampledFrom(l.users).Draw(t, "user"), SourceID: "7", Type: operation.Update,
		MaxAttempts: rapid.IntRange(1, 4).Draw(t, "max"),
		Changes:     operation.Changes{operation.FieldNotes: operation.Text("x")},
	}
}

func (m *machine) acceptNew(t *rapid.T) {
	l := m.lane(t)
	m.accept(t, l, m.draw(t, l), nil, redisstore.Offer{})
}

// acceptOffered is an accept that knows of a free slot, maybe of a worker that is gone.
func (m *machine) acceptOffered(t *rapid.T) {
	l := m.lane(t)
	m.accept(t, l, m.draw(t, l), nil, redisstore.Offer{
		Worker: rapid.SampledFrom([]string{listener, listener, "gone"}).Draw(t, "worker"), Ticket: m.now,
	})
}

func (m *machine) acceptKeyed(t *rapid.T) {
	l := m.lane(t)
	a := m.draw(t, l)
	a.Key = &operation.Key{
		Scope:       rapid.SampledFrom([]string{"k1", "k2"}).Draw(t, "scope"),
		Fingerprint: rapid.SampledFrom([]string{"f1", "f1", "f2"}).Draw(t, "fingerprint"),
	}
	m.accept(t, l, a, nil, redisstore.Offer{})
}

func (m *machine) acceptSync(t *rapid.T) {
	l := m.lane(t)
	a := m.draw(t, l)
	a.Sync = true
	attempt := uuid.Must(uuid.NewV7())
	m.accept(t, l, a, &attempt, redisstore.Offer{})
}

// accept asks the store, and requires what the model says.
func (m *machine) accept(t *rapid.T, l *mlane, a operation.Accepted, attempt *uuid.UUID, offer redisstore.Offer) {
	limits := l.want
	limits.Life = lives.Draw(t, "life")
	var r redisstore.Receipt
	var err error
	switch {
	case attempt != nil:
		r, err = m.store.AcceptSync(m.ctx, a, limits, *attempt)
	case offer != redisstore.Offer{}:
		r, err = m.store.AcceptOffered(m.ctx, a, limits, offer)
	default:
		r, err = m.store.Accept(m.ctx, a, limits)
	}
	if a.Key != nil {
		if owner := m.owner[a.Key.Scope]; owner != nil {
			if m.keys[a.Key.Scope] != *a.Key {
				require.ErrorIs(t, err, redisstore.ErrMismatch)
				return
			}
			require.NoError(t, err)
			require.Equal(t, owner.ID, r.Replay, "the same key is the same operation")
			return
		}
	}
	switch {
	case len(m.pending(l)) >= m.cfg.LaneBound:
		require.ErrorIs(t, err, redisstore.ErrLaneFull)
		return
	case len(m.unsaid()) >= m.cfg.OutboxBound:
		require.ErrorIs(t, err, redisstore.ErrOutboxFull)
		return
	}
	m.limit(l)
	if attempt != nil && m.refused(t, l, a, err) {
		return
	}
	at, room := m.gate(l)
	goes := offer.Worker == listener && room && at <= m.ms() && len(m.mailbox(l, a.ResourceID)) == 0 && len(m.ready(l)) == 0
	require.NoError(t, err)
	require.Equal(t, goes, r.Handed, "handed over if it may be called, nothing of its lane waits, and the worker listens")
	require.Equal(t, max(m.seq[operation.ShardOf(l.id)]+1, m.now), r.Seq, "the place is behind the shard's last, and not before the clock")
	require.Equal(t, m.ms()+limits.Life.Milliseconds(), r.Deadline.UnixMilli())
	op := m.insert(l, a, r.Place)
	require.Equal(t, len(m.pending(l)), r.Outstanding)
	if a.Key != nil {
		m.keys[a.Key.Scope], m.owner[a.Key.Scope] = *a.Key, op
	}
	if attempt != nil {
		m.handed(t, op, redisstore.Lease{Accepted: a, Place: r.Place, AttemptID: *attempt, Number: 1})
	}
	if goes {
		select {
		case h := <-m.handovers:
			require.Equal(t, a, h.Accepted)
			require.Equal(t, offer.Ticket, h.Ticket)
			require.Equal(t, m.store.LeaseFor(limits), h.For)
			m.handed(t, op, h.Lease)
		case <-time.After(10 * time.Second):
			require.Fail(t, "handed over to nobody")
		}
	}
}

// refused requires the refusal of a sync accept that the model sees.
func (m *machine) refused(t *rapid.T, l *mlane, a operation.Accepted, err error) bool {
	if box := m.mailbox(l, a.ResourceID); len(box) > 0 {
		var conflict *redisstore.ConflictError
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, box[0].ID, conflict.Behind)
		return true
	}
	if l.paused {
		require.ErrorIs(t, err, redisstore.ErrPaused)
		return true
	}
	if at, ok := m.gate(l); !ok || at > m.ms() {
		var later *redisstore.LaterError
		require.ErrorAs(t, err, &later)
		require.Positive(t, later.Wait)
		return true
	}
	return false
}

func (m *machine) acceptAgain(t *rapid.T) {
	op := m.any(t)
	accept := m.store.Accept
	if rapid.Bool().Draw(t, "lost reply") {
		m.store.LoseAnswers()
		accept = m.store.AcceptNew
	}
	r, err := accept(m.ctx, op.Accepted, op.lane.want)
	require.NoError(t, err)
	if op.paged {
		require.Equal(t, op.ID, r.Replay)
		return
	}
	require.Equal(t, op.Place, r.Place, "the same id twice is one accept")
}

func (m *machine) any(t *rapid.T) *mop {
	if len(m.ops) == 0 {
		t.Skip("nothing accepted yet")
	}
	return rapid.SampledFrom(m.ops).Draw(t, "operation")
}

func (m *machine) passShort(t *rapid.T) {
	m.advance(t, rapid.SampledFrom([]int64{1, 400, 1000, 5000, 11_000}).Draw(t, "us"))
}

func (m *machine) passLong(t *rapid.T) {
	m.advance(t, rapid.SampledFrom([]int64{20_000, 41_000, 100_000, 400_000}).Draw(t, "us"))
}

func (m *machine) advance(t *rapid.T, us int64) {
	m.now += us
	require.NoError(t, setClock(m.ctx, m.rdb, m.now))
}

func (m *machine) newCap(t *rapid.T) {
	m.lane(t).want.InFlight = rapid.IntRange(1, 3).Draw(t, "cap")
}

func (m *machine) pauseAny(t *rapid.T) {
	l := m.lane(t)
	l.paused = rapid.Bool().Draw(t, "paused") && rapid.Bool().Draw(t, "really")
	require.NoError(t, m.store.Pause(m.ctx, l.id, l.paused))
}

func (m *machine) cancelAny(t *rapid.T) {
	op := m.any(t)
	ended := op.status.Terminal()
	m.cancel(op)
	rec, err := m.store.Cancel(m.ctx, op.ConnectionID, op.ID)
	if ended {
		require.ErrorIs(t, err, redisstore.ErrEnded)
		return
	}
	require.NoError(t, err)
	require.Equal(t, op.status, rec.Operation.Status)
}

// publish is somebody reading what is to be published; the ack comes later, or
// never, or twice.
func (m *machine) publish(t *rapid.T) {
	op := m.any(t)
	ack := redisstore.Ack{
		Connection: op.ConnectionID, ID: op.ID, Accepted: rapid.Bool().Draw(t, "accepted"), RowVersion: strconv.Itoa(op.version),
	}
	if rapid.Bool().Draw(t, "rows too") {
		ack.Rows, ack.Final = len(op.rows), op.status.Terminal()
		if ack.Final {
			now, err := m.store.Get(m.ctx, op.ConnectionID, op.ID)
			require.NoError(t, err)
			ack.Ended = &now
		}
	}
	m.acks = append(m.acks, ack)
}

func (m *machine) acked(t *rapid.T) {
	if len(m.acks) == 0 {
		t.Skip("nothing published yet")
	}
	ack := rapid.SampledFrom(m.acks).Draw(t, "ack")
	version, err := strconv.Atoi(ack.RowVersion)
	require.NoError(t, err)
	m.ack(ack, version)
	require.NoError(t, m.store.Acked(m.ctx, []redisstore.Ack{ack}))
}

func (m *machine) poll(t *rapid.T) {
	p, err := m.store.Poll(m.ctx, 10)
	require.NoError(t, err)
	require.Len(t, p.Missing, operation.Shards-1)
	due := map[uuid.UUID]bool{}
	for _, d := range p.Due {
		due[d.Connection] = true
	}
	index := m.dump(t)["due"].fields // which check compares with the model
	for _, l := range m.lanes {
		score := index[l.id.String()]
		require.Equal(t, score != "" && number(t, score) <= m.ms(), due[l.id])
	}
}
