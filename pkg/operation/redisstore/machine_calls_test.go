package redisstore_test

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

func (m *machine) next(t *rapid.T) {
	l := m.lane(t)
	q := asked{l, ids(rapid.IntRange(0, 4).Draw(t, "slots"))}
	m.nexts = append(m.nexts, q)
	m.look(t, q, nil)
}

// nextAgain is a next whose reply was lost.
func (m *machine) nextAgain(t *rapid.T) {
	if len(m.nexts) == 0 {
		t.Skip("nobody asked yet")
	}
	m.store.LoseAnswers()
	m.look(t, rapid.SampledFrom(m.nexts).Draw(t, "asked"), nil)
}

// nextMessage is a next with a message: of an operation that is known, a
// duplicate or a late one, or of one whose record was lost.
func (m *machine) nextMessage(t *rapid.T) {
	if len(m.ops) > 0 && rapid.Bool().Draw(t, "known") {
		op := m.any(t)
		if op.Sync {
			t.Skip("a sync operation has no message")
		}
		m.look(t, asked{op.lane, ids(1)}, &operation.Message{Accepted: op.Accepted, Place: op.Place})
		return
	}
	l := m.lane(t)
	if len(m.pending(l)) >= m.cfg.LaneBound {
		t.Skip("enough outstanding")
	}
	back := rapid.SampledFrom([]time.Duration{0, time.Millisecond, 100 * time.Millisecond, time.Second}).Draw(t, "back")
	msg := &operation.Message{Accepted: m.draw(t, l), Place: m.late(back, lives.Draw(t, "life"))}
	if rapid.Bool().Draw(t, "keyed") {
		msg.Key = &operation.Key{Scope: "k1", Fingerprint: "f1"}
	}
	m.look(t, asked{l, ids(1)}, msg)
}

// look sends a next and requires what the model says.
func (m *machine) look(t *rapid.T, q asked, msg *operation.Message) {
	l := q.lane
	h, err := m.store.Next(m.ctx, l.id, l.want, q.ids, msg)
	require.NoError(t, err)
	m.limit(l)
	healed := 0
	if msg != nil && m.find(msg.ID) == nil {
		op := m.insert(l, msg.Accepted, msg.Place)
		op.accepted = true
		if op.Key != nil && m.owner[op.Key.Scope] == nil {
			m.keys[op.Key.Scope], m.owner[op.Key.Scope] = *op.Key, op
		}
		healed = 1
	}
	expired, ended := m.expire(l)
	require.Equal(t, []int{healed, expired, ended}, []int{h.Healed, h.Expired, h.Ended}, "healed, expired, ended")

	free := slices.Clone(q.ids)
	for _, op := range m.leased(l) {
		free = slices.DeleteFunc(free, func(id uuid.UUID) bool { return id == op.lease.lease.AttemptID })
	}
	again := len(q.ids) - len(free)
	require.GreaterOrEqual(t, len(h.Leases), again, "a lost reply is given again")
	for _, lease := range h.Leases[:again] {
		op := m.find(lease.ID)
		require.NotNil(t, op.lease)
		require.Equal(t, op.lease.lease.AttemptID, lease.AttemptID)
	}
	for _, lease := range h.Leases[again:] {
		require.Contains(t, free, lease.AttemptID)
		free = slices.DeleteFunc(free, func(id uuid.UUID) bool { return id == lease.AttemptID })
		m.handed(t, m.find(lease.ID), lease)
	}
	at, ok := m.gate(l)
	if len(free) > 0 && ok && at <= m.ms() {
		for _, op := range m.ready(l) {
			require.Greater(t, op.nb, m.ms(), "a ready head was not handed out although there was room")
		}
	}
	cand, some := m.candidate(l)
	require.Equal(t, some && cand <= m.ms(), h.More)
}

// handed checks one hand-out by what has happened so far.
func (m *machine) handed(t *rapid.T, op *mop, lease redisstore.Lease) {
	require.NotNil(t, op)
	l := op.lane
	require.Equal(t, operation.Pending, op.status, "an ended operation is not handed out")
	require.LessOrEqual(t, op.nb, m.ms(), "not before its backoff is over")
	at, ok := m.gate(l)
	require.True(t, ok, "no more than the cap, and nothing while paused")
	require.LessOrEqual(t, at, m.ms(), "not while blocked, broken or over the rate")
	for _, o := range m.ready(l) {
		require.True(t, op.Sync || op.turn() <= o.turn(), "nobody passes another whose turn came before")
	}
	for _, o := range m.mailbox(l, op.ResourceID) {
		require.Nil(t, o.lease, "one call of a user at a time")
		require.False(t, o.Seq < op.Seq, "only the head of a mailbox")
	}
	if op.granted == 0 {
		for _, o := range m.of(l, func(o *mop) bool { return o.ResourceID == op.ResourceID && o.granted > op.put }) {
			require.LessOrEqual(t, o.Seq, op.Seq, "first hand-outs are in accept order")
		}
	}
	if lease.Number > 1 || lease.Left != 0 {
		require.Equal(t, op.attempted+1, lease.Number)
		require.Equal(t, op.refused, lease.Refused)
		require.Equal(t, op.repeat, lease.Repeat)
		require.Equal(t, op.Place, lease.Place)
		require.Equal(t, op.Deadline.UnixMilli()-m.ms(), lease.Left.Milliseconds())
	}
	m.calls = append(m.calls, m.grant(op, lease))
	m.rate(t, l)
}

// rate requires that no window of calls up to the last holds more than the rate
// and its burst allow.
func (m *machine) rate(t *rapid.T, l *mlane) {
	i := l.interval()
	if i == 0 {
		return
	}
	made := slices.DeleteFunc(slices.Clone(l.grants), func(c *mcall) bool { return c.released })
	last := made[len(made)-1]
	for k, c := range made {
		n, room := int64(len(made)-k), int64(l.has.Burst)+(last.at-c.at)/i
		require.LessOrEqual(t, n, room, "%d calls in %d us", n, last.at-c.at)
	}
}

func (m *machine) recordHeld(t *rapid.T) {
	var held []*mcall
	for _, c := range m.calls {
		if c.op.heldBy(c) {
			held = append(held, c)
		}
	}
	if len(held) == 0 {
		t.Skip("no call is under way")
	}
	m.outcome(t, rapid.SampledFrom(held).Draw(t, "call"))
}

// recordAny is also late outcomes, second ones, and different second ones.
func (m *machine) recordAny(t *rapid.T) {
	m.outcome(t, m.anyCall(t))
}

func (m *machine) anyCall(t *rapid.T) *mcall {
	if len(m.calls) == 0 {
		t.Skip("no call was made yet")
	}
	return rapid.SampledFrom(m.calls).Draw(t, "call")
}

func (m *machine) outcome(t *rapid.T, c *mcall) {
	if c.released {
		t.Skip("that call was not made")
	}
	verdicts := []operation.Verdict{operation.Succeed, operation.Again, operation.Again, operation.Renew, operation.Fail}
	d := operation.Decision{Verdict: rapid.SampledFrom(verdicts).Draw(t, "verdict")}
	if c.op.Sync && d.Verdict != operation.Succeed {
		d.Verdict = operation.Fail
	}
	o := redisstore.Outcome{Connection: c.op.ConnectionID, Reach: redisstore.Answered}
	o.Attempt = operation.Attempt{
		ID: c.lease.AttemptID, OperationID: c.op.ID, StartedAt: time.UnixMicro(c.at), EndedAt: time.UnixMicro(m.now),
		Status: operation.AttemptSucceeded,
	}
	if d.Verdict != operation.Succeed {
		o.Attempt.Status, o.Attempt.ErrorType = operation.AttemptFailed, operation.ErrorTSP
		o.Reach = rapid.SampledFrom([]redisstore.Reach{redisstore.Answered, redisstore.Unreached, redisstore.Uncalled}).Draw(t, "reach")
	}
	if d.Verdict == operation.Again {
		d.Delay = rapid.SampledFrom([]time.Duration{0, 7 * time.Millisecond, 90 * time.Millisecond}).Draw(t, "delay")
		d.Block = rapid.SampledFrom([]time.Duration{0, 0, 30 * time.Millisecond}).Draw(t, "block")
	}
	if d.Verdict == operation.Renew {
		o.Refused = rapid.SampledFrom([]string{"c0badcafe", "c00000001"}).Draw(t, "refused")
	}
	o.Decision = d
	held := m.record(c, d, o.Reach, o.Refused)
	rec, err := m.store.Record(m.ctx, o)
	require.NoError(t, err)
	require.Equal(t, !held, rec.Late)
	require.Equal(t, c.op.status, rec.Operation.Status)
	require.Len(t, rec.Operation.Attempts, len(c.op.rows))
	cand, some := m.candidate(c.op.lane)
	if !c.op.paged {
		require.Equal(t, some && cand <= m.ms(), rec.More)
	}
}

func (m *machine) releaseAny(t *rapid.T) {
	c := m.anyCall(t)
	if c.op.Sync {
		t.Skip("a sync call is never given back")
	}
	m.release(c)
	require.NoError(t, m.store.Release(m.ctx, c.lease, 0))
}
