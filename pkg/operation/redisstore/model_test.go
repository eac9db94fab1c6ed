package redisstore_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// model says in plain Go what the scripts must have made of everything that was
// asked of them. It keeps operations and lanes only: indexes are computed from
// them, and compared with those that the scripts maintain.
type model struct {
	now   int64 // µs
	cfg   redisstore.Config
	seq   [operation.Shards]int64 // of the newest operation
	lanes []*mlane
	ops   []*mop
	keys  map[string]operation.Key // scope → fingerprint
	owner map[string]*mop          // scope → operation
	step  int
}

// mlane is a connection.
type mlane struct {
	id                  uuid.UUID
	users               []uuid.UUID
	want, has           redisstore.Limits
	blocked, open, fail int64
	tat                 int64
	paused              bool
	grants              []*mcall
}

// mop is an operation.
type mop struct {
	redisstore.Lease // Accepted and Place
	lane             *mlane
	status           operation.Status
	rows             []mrow
	attempted        int
	pend             int64 // ms: when its deadline is looked at
	lease            *mcall
	mark             string
	nb               int64
	repeat           bool
	refused          string
	put              int // step at which it came
	granted          int // step of the first hand-out
	// what the streams have confirmed
	accepted, final bool
	acked, version  int
	paged           bool // it was confirmed completely once, and went to its page
	whole           bool // what goes there is known
	amended         bool // its page was changed after that, and nobody knows it yet
}

// mcall is a lease, past or present.
type mcall struct {
	op       *mop
	lease    redisstore.Lease
	at       int64 // µs
	end      int64 // ms
	released bool
}

type mrow struct {
	id      string // empty: not seen yet, chosen by the store
	status  operation.AttemptStatus
	unknown bool
}

// GoString keeps rapid's reports short.
func (l *mlane) GoString() string { return "lane " + l.id.String()[:4] }

// GoString keeps rapid's reports short.
func (op *mop) GoString() string {
	return fmt.Sprintf("%d of user %s, %s", op.Seq, op.ResourceID.String()[:4], op.status)
}

// GoString keeps rapid's reports short.
func (c *mcall) GoString() string { return fmt.Sprintf("%s of %#v", c.lease.AttemptID, c.op) }

func (m *model) ms() int64 { return m.now / 1000 }

func (m *model) find(id uuid.UUID) *mop {
	for _, op := range m.ops {
		if op.ID == id {
			return op
		}
	}
	return nil
}

func (l *mlane) interval() int64 {
	if l.has.PerSecond == 0 {
		return 0
	}
	return int64(1e6 / l.has.PerSecond)
}

// limit gives the lane the limits that the directory has now. What was spent of the old ones
// holds no longer than the new ones let it.
func (m *model) limit(l *mlane) {
	l.has = l.want
	l.tat = min(l.tat, m.now+l.interval()*int64(l.has.Burst))
}

// of gives the lane's operations that satisfy the condition, by place.
func (m *model) of(l *mlane, is func(*mop) bool) []*mop {
	var out []*mop
	for _, op := range m.ops {
		if op.lane == l && is(op) {
			out = append(out, op)
		}
	}
	slices.SortFunc(out, func(a, b *mop) int {
		if a.Seq != b.Seq {
			return int(a.Seq - b.Seq)
		}
		return strings.Compare(a.ID.String(), b.ID.String())
	})
	return out
}

func (m *model) pending(l *mlane) []*mop {
	return m.of(l, func(op *mop) bool { return op.status == operation.Pending })
}

func (m *model) leased(l *mlane) []*mop {
	return m.of(l, func(op *mop) bool { return op.lease != nil })
}

func (m *model) mailbox(l *mlane, user uuid.UUID) []*mop {
	return m.of(l, func(op *mop) bool { return op.status == operation.Pending && op.ResourceID == user })
}

// ready gives the heads of mailboxes of which nothing is being called.
func (m *model) ready(l *mlane) []*mop {
	var out []*mop
	for _, user := range l.users {
		box := m.mailbox(l, user)
		if len(box) > 0 && !slices.ContainsFunc(box, func(op *mop) bool { return op.lease != nil }) {
			out = append(out, box[0])
		}
	}
	return out
}

// unsaid gives the operations of which something is not confirmed.
func (m *model) unsaid() []*mop {
	var out []*mop
	for _, op := range m.ops {
		if !op.said() {
			out = append(out, op)
		}
	}
	return out
}

// turn is when a free head may go, in ms: what was accepted later does not pass it.
func (op *mop) turn() int64 {
	if op.nb > 0 {
		return op.nb
	}
	return op.Seq / 1000
}

func (op *mop) said() bool {
	if op.paged || op.status.Terminal() {
		return op.paged && !op.amended
	}
	return op.accepted && op.acked >= len(op.rows) && (op.final || op.status == operation.Pending)
}

// gate gives the ms from which the lane may hand out one more.
func (m *model) gate(l *mlane) (int64, bool) {
	room := l.has.InFlight
	if l.open > 0 {
		room = 1
	}
	if l.paused || len(m.leased(l)) >= room {
		return 0, false
	}
	at := max(l.blocked, l.open)
	if i := l.interval(); i > 0 {
		if free := l.tat - i*int64(l.has.Burst-1); free > m.now {
			at = max(at, (free+999)/1000)
		}
	}
	return at, true
}

// candidate gives the ms at which somebody must look at the lane.
func (m *model) candidate(l *mlane) (int64, bool) {
	var all []int64
	for _, op := range m.leased(l) {
		all = append(all, op.lease.end)
	}
	for _, op := range m.pending(l) {
		all = append(all, op.pend)
	}
	if at, ok := m.gate(l); ok {
		for _, op := range m.ready(l) {
			all = append(all, max(at, op.nb))
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	return slices.Min(all), true
}

func (m *model) insert(l *mlane, a operation.Accepted, place operation.Place) *mop {
	op := &mop{lane: l, status: operation.Pending, pend: place.Deadline.UnixMilli(), put: m.step}
	op.Accepted, op.Place = a, place
	op.accepted = a.Sync
	m.ops = append(m.ops, op)
	m.seq[operation.ShardOf(l.id)] = max(m.seq[operation.ShardOf(l.id)], place.Seq)
	return op
}

func (m *model) grant(op *mop, lease redisstore.Lease) *mcall {
	l := op.lane
	if i := l.interval(); i > 0 {
		l.tat = max(l.tat, m.now) + i
	}
	hold := m.cfg.StartWindow + m.cfg.Margin + l.want.Call
	c := &mcall{op: op, lease: lease, at: m.now, end: m.ms() + hold.Milliseconds()}
	op.lease = c
	l.grants = append(l.grants, c)
	if op.granted == 0 {
		op.granted = m.step
	}
	return c
}

// heldBy says whether the call's attempt id has the lease. A next that comes twice
// far apart may use an id again.
func (op *mop) heldBy(c *mcall) bool {
	return op.lease != nil && op.lease.lease.AttemptID == c.lease.AttemptID
}

// write is a log row: a new one, or one completed. False: it was there.
func (op *mop) write(id string, status operation.AttemptStatus, unknown bool) (written bool) {
	defer func() {
		op.whole = op.whole && (!written || op.paged)
		op.final = op.final && (!written || op.paged) // a final event tells the whole log
	}()
	i := slices.IndexFunc(op.rows, func(r mrow) bool { return r.id == id })
	switch {
	case i < 0 || id == "":
		op.rows = append(op.rows, mrow{id, status, unknown})
	case unknown, !op.rows[i].unknown:
		return false
	default:
		op.rows[i] = mrow{id, status, false}
		op.acked = min(op.acked, i)
		op.version++
	}
	return true
}

func (op *mop) explain() { op.write("", operation.AttemptFailed, false) }

func (op *mop) finish(s operation.Status) {
	op.status, op.mark, op.refused, op.nb = s, "", "", 0
}

func (op *mop) settle() bool {
	switch op.mark {
	case "success":
		op.finish(operation.Succeeded)
	case "cancel", "deadline":
		op.explain()
		op.finish(operation.Failed)
	default:
		return false
	}
	return true
}

// expire ends what ran out in the lane; it gives the numbers that next reports.
func (m *model) expire(l *mlane) (expired, ended int) {
	for _, op := range m.leased(l) {
		if op.lease.end > m.ms() {
			continue
		}
		expired++
		op.write(op.lease.lease.AttemptID.String(), operation.AttemptFailed, true)
		op.lease = nil
		op.attempted++
		op.repeat = true
		if l.open > 0 {
			l.open = m.ms() + m.cfg.BreakerOpen.Milliseconds()
		}
		switch {
		case op.settle():
		case op.Sync:
			op.finish(operation.Failed)
		case op.attempted >= op.MaxAttempts:
			op.explain()
			op.finish(operation.Failed)
		default:
			continue
		}
		ended++
	}
	for _, op := range m.pending(l) {
		switch {
		case op.pend > m.ms():
		case op.lease != nil:
			if op.mark == "" {
				op.mark = "deadline"
			}
			op.pend = op.lease.end
		default:
			op.explain()
			op.finish(operation.Failed)
			ended++
		}
	}
	return expired, ended
}

// record is the outcome of a call; it says whether the lease was still there.
func (m *model) record(c *mcall, d operation.Decision, reach redisstore.Reach, refused string) (held bool) {
	op, l := c.op, c.op.lane
	status := operation.AttemptFailed
	if d.Verdict == operation.Succeed {
		status = operation.AttemptSucceeded
	}
	fresh := op.write(c.lease.AttemptID.String(), status, false)
	if held = op.heldBy(c); held {
		op.lease, op.repeat, op.refused = nil, false, ""
		op.attempted++
	}
	if fresh {
		m.reached(l, d, reach)
		op.amended = op.paged
	}
	// What lies in its page went before, and ended then what was older.
	if reach != redisstore.Uncalled && !op.paged {
		m.overtake(op)
	}
	switch {
	case held && d.Verdict == operation.Succeed:
		op.finish(operation.Succeeded)
	case held && op.settle():
	case held && d.Verdict == operation.Fail:
		op.finish(operation.Failed)
	case held:
		op.refused = refused
		op.nb = m.ms() + d.Delay.Milliseconds()
	case d.Verdict == operation.Succeed && op.status == operation.Pending && op.lease != nil:
		op.mark = "success"
	case d.Verdict == operation.Succeed && op.status == operation.Pending:
		op.finish(operation.Succeeded)
	}
	return held
}

// overtake ends what is older than a write that has gone, unless it is going.
func (m *model) overtake(op *mop) {
	for _, old := range m.mailbox(op.lane, op.ResourceID) {
		if old.Seq < op.Seq && old.lease == nil {
			old.explain()
			old.finish(operation.Failed)
		}
	}
}

func (m *model) reached(l *mlane, d operation.Decision, reach redisstore.Reach) {
	if d.Block > 0 {
		l.blocked = max(l.blocked, m.ms()+d.Block.Milliseconds())
	}
	switch reach {
	case redisstore.Unreached:
		l.fail++
		if l.fail >= int64(m.cfg.BreakerThreshold) {
			l.open = m.ms() + m.cfg.BreakerOpen.Milliseconds()
		}
	case redisstore.Answered:
		l.fail, l.open = 0, 0
	case redisstore.Uncalled:
	}
}

func (m *model) release(c *mcall) bool {
	op := c.op
	if !op.heldBy(c) {
		return false
	}
	held := op.lease // not c, if a next that came twice has given it out again
	op.lease, held.released = nil, true
	if i := op.lane.interval(); i > 0 {
		op.lane.tat -= max(0, i-(m.now-held.at))
	}
	op.settle()
	return true
}

func (m *model) cancel(op *mop) {
	switch {
	case op.status.Terminal():
	case op.lease != nil:
		if op.mark == "" {
			op.mark = "cancel"
		}
	default:
		op.explain()
		op.finish(operation.Failed)
	}
}

func (m *model) ack(a redisstore.Ack, version int) {
	op := m.find(a.ID)
	op.accepted = op.accepted || a.Accepted
	if version == op.version {
		op.acked = max(op.acked, a.Rows)
	}
	op.final = op.final || a.Final && version == op.version && a.Rows == len(op.rows)
	if op.paged {
		op.amended = op.amended && (a.Ended == nil || !sameRows(a.Ended, op))
		return
	}
	op.whole = op.whole || a.Ended != nil && version == op.version && a.Rows == len(op.rows)
	op.paged = op.whole && op.accepted && op.acked >= len(op.rows) && op.final && op.status.Terminal()
}

// sameRows says whether an event told the rows as they are now.
func sameRows(told *operation.Operation, op *mop) bool {
	if len(told.Attempts) != len(op.rows) {
		return false
	}
	for i, a := range told.Attempts {
		if a.Unknown != op.rows[i].unknown {
			return false
		}
	}
	return true
}

// late gives a place for an operation whose record was lost.
func (m *model) late(back, life time.Duration) operation.Place {
	return operation.Place{
		Seq:      m.now - back.Microseconds(),
		Deadline: time.UnixMilli(m.ms() + life.Milliseconds()).UTC(),
	}
}
