package redisstore_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/pkg/operation"
)

// everything gives all keys with their values and lives.
var everything = redis.NewScript(`
local out = {}
for _, k in ipairs(redis.call('KEYS', 'wb:*')) do
  local kind, v = redis.call('TYPE', k).ok, nil
  if kind == 'hash' then v = redis.call('HGETALL', k)
  elseif kind == 'zset' then v = redis.call('ZRANGE', k, 0, -1, 'WITHSCORES')
  elseif kind == 'list' then v = {}
  else v = {'value', redis.call('GET', k)} end
  out[#out + 1] = {k, v, redis.call('PTTL', k)}
end
return out`)

// held is a key: its fields, or members with scores.
type held struct {
	fields map[string]string
	ttl    int64 // ms; -1: none
}

// seen is what may only grow or stay.
type seen struct {
	status operation.Status
	rows   []string
}

func (m *machine) dump(t *rapid.T) map[string]held {
	v, err := everything.Run(m.ctx, m.rdb, nil).Slice()
	require.NoError(t, err)
	out := map[string]held{}
	for _, item := range v {
		kv := item.([]any)
		h := held{fields: map[string]string{}, ttl: kv[2].(int64)}
		values := kv[1].([]any)
		for i := 0; i+1 < len(values); i += 2 {
			h.fields[values[i].(string)] = values[i+1].(string)
		}
		_, name, _ := strings.Cut(kv[0].(string), "}:")
		out[name] = h
	}
	return out
}

// check compares everything that the scripts keep with what the model says.
func (m *machine) check(t *rapid.T) {
	m.step++
	d := m.dump(t)
	for _, l := range m.lanes {
		m.checkLane(t, d, l)
	}
	outbox := map[string]bool{}
	for _, op := range m.unsaid() {
		outbox[op.ID.String()] = true
	}
	got := map[string]bool{}
	for id := range d["outbox"].fields {
		got[id] = true
	}
	require.Equal(t, outbox, got, "the outbox holds whatever is not confirmed")
	for _, op := range m.ops {
		m.checkOperation(t, d["op:"+op.ID.String()], op)
	}
}

func (m *machine) checkLane(t *rapid.T, d map[string]held, l *mlane) {
	id := l.id.String()
	flight, pend, ready := map[string]string{}, map[string]string{}, map[string]string{}
	for _, op := range m.leased(l) {
		flight[op.ID.String()+":"+op.lease.lease.AttemptID.String()] = fmt.Sprint(op.lease.end)
	}
	for _, op := range m.pending(l) {
		pend[op.ID.String()] = fmt.Sprint(op.pend)
	}
	for _, op := range m.ready(l) {
		ready[op.ID.String()] = fmt.Sprint(op.turn())
	}
	requireSame(t, flight, d["flight:"+id], "what is being called")
	requireSame(t, pend, d["pend:"+id], "every outstanding operation, by its deadline")
	requireSame(t, ready, d["ready:"+id], "the free heads, and only they")
	for _, user := range l.users {
		mail := map[string]string{}
		for _, op := range m.mailbox(l, user) {
			mail[op.ID.String()] = fmt.Sprint(op.Seq)
		}
		requireSame(t, mail, d["mail:"+id+":"+user.String()], "the mailbox, in accept order")
	}
	hash := d["lane:"+id].fields
	for name, want := range map[string]int64{"blocked": l.blocked, "open": l.open, "fails": l.fail, "tat": l.tat} {
		require.Equal(t, want, number(t, hash[name]), name)
	}
	m.checkDue(t, d["due"].fields[id], l)
}

// checkDue requires that the lane is looked at when it has to be, neither later
// nor for nothing.
func (m *machine) checkDue(t *rapid.T, score string, l *mlane) {
	at, ok := m.candidate(l)
	require.Equal(t, ok, score != "", "a lane is in the due index if it waits for anything")
	if !ok {
		return
	}
	// The rate is kept in µs, the index in ms, rounded up.
	require.LessOrEqual(t, number(t, score), max(at, m.ms())+1, "due no later than its earliest need")
	require.GreaterOrEqual(t, number(t, score), at, "due for nothing")
}

func (m *machine) checkOperation(t *rapid.T, h held, op *mop) {
	f := h.fields
	now, err := m.store.Get(m.ctx, op.ConnectionID, op.ID)
	require.NoError(t, err, "no operation is forgotten")
	require.Equal(t, op.status, now.Status)
	require.Equal(t, op.attempted, now.Attempted)
	m.checkLog(t, now, op)
	if op.paged {
		require.Empty(t, f, "an ended and confirmed operation is in its page only")
		return
	}
	require.NotEmpty(t, f)
	require.EqualValues(t, -1, h.ttl, "no end of life before everything is confirmed")
	status := f["st"]
	if status == "" {
		status = string(operation.Pending)
	}
	require.Equal(t, string(op.status), status)
	require.EqualValues(t, op.attempted, number(t, f["attempted"]))
	require.Equal(t, op.mark, f["mark"])
	lease := ""
	if op.lease != nil {
		lease = op.lease.lease.AttemptID.String()
	}
	held, _, _ := strings.Cut(f["lease"], " ")
	require.Equal(t, lease, held)
	require.EqualValues(t, len(op.rows), number(t, f["rows"]))
	require.EqualValues(t, op.acked, number(t, f["acked_rows"]))
	require.EqualValues(t, op.version, number(t, f["row_version"]))
}

// checkLog requires the model's rows, and that what was there before is there.
func (m *machine) checkLog(t *rapid.T, now operation.Operation, op *mop) {
	rows := m.checkRows(t, now, op)
	was := m.before[op.ID]
	if was.status.Terminal() {
		require.Equal(t, was.status, op.status, "a terminal status never changes")
	}
	require.GreaterOrEqual(t, len(rows), len(was.rows), "rows do not go")
	require.True(t, slices.Equal(was.rows, rows[:len(was.rows)]), "rows stay where they are")
	m.before[op.ID] = seen{op.status, rows}
}

// checkRows requires the model's rows, one for each attempt id.
func (m *machine) checkRows(t *rapid.T, now operation.Operation, op *mop) []string {
	require.Len(t, now.Attempts, len(op.rows))
	ids := make([]string, 0, len(op.rows))
	unique := map[string]bool{}
	for i := range op.rows {
		r := &op.rows[i]
		a := now.Attempts[i]
		id := a.ID.String()
		if r.id == "" {
			r.id = id
		}
		require.Equal(t, r.id, id)
		require.Equal(t, r.status, a.Status)
		require.Equal(t, r.unknown, a.Unknown)
		ids = append(ids, id)
		unique[id] = true
	}
	require.Len(t, unique, len(op.rows), "one row for each attempt")
	return ids
}

func requireSame(t *rapid.T, want map[string]string, got held, what string) {
	if got.fields == nil {
		got.fields = map[string]string{}
	}
	require.Equal(t, want, got.fields, what)
}

func number(t *rapid.T, s string) int64 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(t, err)
	return n
}
