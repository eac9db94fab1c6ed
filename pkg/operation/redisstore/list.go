package redisstore

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

const dayMicros = int64(24 * time.Hour / time.Microsecond)

// pageBytes is how much the operations of one page weigh at most, whatever the limit
// says: a partner's largest operations would fill a program's memory.
const pageBytes = 4 << 20

// listTries is how often List reads a page to which something was added meanwhile. Where
// clocks agree the second time is enough: see walk.frontier.
const listTries = 3

// List gives the partner's operations that the query selects, in ascending order
// of (Seq, ID), also when it walks backwards; more says that there are further
// ones in its direction. It reads the day indexes day by day until the page is full,
// which it is with fewer than the limit if they are large. A page leaves nothing out that
// stands before its last operation, also if it was accepted while the page was read: the
// walk would not come back to it.
// ErrStale while a shard is being rebuilt: a list with holes would look complete.
// ErrUnreadable if that is so of one on the page.
func (s *Store) List(ctx context.Context, q operation.Query) (ops []operation.Operation, more bool, err error) {
	return s.ListReadable(ctx, q, nil)
}

// ListReadable is List, but passes over records that cannot be read: it tells unread of each,
// maybe more than once.
func (s *Store) ListReadable(ctx context.Context, q operation.Query, unread func(uuid.UUID, error)) (ops []operation.Operation, more bool, err error) {
	for try := 1; ; try++ {
		w := walk{store: s, query: q, want: q.Limit + 1, unread: unread, last: q.Position}
		var further bool
		if ops, further, err = w.page(ctx); err != nil {
			return nil, false, err
		}
		more = more || further
		if len(ops) == 0 || ops[len(ops)-1].Seq < w.frontier || try == listTries {
			if more && len(ops) > 0 && !q.Backwards {
				w.remember(ops[len(ops)-1])
			}
			return ops, more, nil
		}
		// The indexes are not read at one time, so something may be before this that was
		// accepted where they had been read already.
		q.To = time.UnixMicro(ops[len(ops)-1].Seq + 1)
	}
}

// page reads what List gives, once.
func (w *walk) page(ctx context.Context) (ops []operation.Operation, more bool, err error) {
	q := w.query
	from, to := q.From.UnixMicro(), q.To.UnixMicro()-1 // To is exclusive
	if !q.Position.IsZero() {
		if q.Backwards {
			to = min(to, q.Position.Seq)
		} else {
			from = max(from, q.Position.Seq)
		}
	}
	if to < from {
		return nil, false, nil
	}
	for d := range days(from, to, q.Backwards) {
		if err := w.day(ctx, window{d, max(from, d*dayMicros), min(to, (d+1)*dayMicros-1)}); err != nil {
			return nil, false, err
		}
		if w.enough() {
			break
		}
	}
	if more = w.full || len(w.found) > q.Limit; more {
		w.found = w.found[:min(len(w.found), q.Limit)]
	}
	if q.Backwards {
		slices.Reverse(w.found)
	}
	return w.found, more, nil
}

// days gives the day numbers of a window in walking order.
func days(from, to int64, backwards bool) func(yield func(int64) bool) {
	first, last := from/dayMicros, to/dayMicros
	return func(yield func(int64) bool) {
		for i := int64(0); i <= last-first; i++ {
			d := first + i
			if backwards {
				d = last - i
			}
			if !yield(d) {
				return
			}
		}
	}
}

// walk collects matching operations day by day.
type walk struct {
	store *Store
	query operation.Query
	want  int
	found []operation.Operation
	// last is the entry that was taken last: one may be in an index twice, if its record
	// was lost alone and put back.
	last operation.Position
	// unread is told of a record that cannot be read. Nil: the walk fails.
	unread func(uuid.UUID, error)
	// bytes is what was found weighs. full says that the next one was too much.
	bytes int
	full  bool
	// records and weight are of all that was read, selected or not.
	records, weight int
	// indexes are those of the day that is being read.
	indexes []dayIndex
	// today is the number of the day that is being read.
	today int64
	// left is what was known to come next, of which not all was needed.
	left []at
	// frontier is the least place that anything could be accepted at since the walk began.
	// Zero: nothing was read.
	frontier int64
}

// window is a part of a day: its number, and the first and the last seq.
type window struct{ day, from, to int64 }

// dayIndex is the index of a day of a shard: the list, and beside it what came late.
type dayIndex struct {
	shard      int
	list, late entries
}

// entries are those of a list, or of what came late, as far as they have been read.
type entries struct {
	// next says where to read on: a place in the list, a guess of one, or how many of what came
	// late have been read; see lua/index.lua.
	next string
	done bool
	// buffer holds what has been read and not been taken.
	buffer []at
}

// at is an index entry.
type at struct {
	operation.Position
	shard int
	// place in the list. Negative: it came late, and is not in the list.
	place int
}

// What is read of an index at a time: at first its share of a page several times over,
// since operations are not spread evenly, and then twice as much each time.
const (
	chunkShare = 6
	chunkLeast = 16
	chunkMost  = 1001
)

// day reads one day's indexes until they are exhausted or enough is found.
func (w *walk) day(ctx context.Context, part window) error {
	w.today, w.indexes = part.day, w.indexes[:0]
	begins := w.begins(part)
	for shard := range operation.Shards {
		if q := w.query.ConnectionID; q == uuid.Nil || operation.ShardOf(q) == shard {
			w.indexes = append(w.indexes, dayIndex{shard: shard, list: entries{next: begins[shard]}, late: entries{next: "0"}})
		}
	}
	for chunk := max(chunkLeast, min(chunkShare*w.want/len(w.indexes), w.want)); ; chunk = min(2*chunk, chunkMost) {
		if err := w.read(ctx, part, chunk); err != nil {
			return err
		}
		next, all := w.merged()
		if err := w.take(ctx, next); err != nil {
			return err
		}
		if all || w.enough() {
			w.left = next
			return nil
		}
	}
}

// begins says where a window begins in the list of each shard, as far as that is known.
func (w *walk) begins(part window) (in [operation.Shards]string) {
	q := w.query
	switch {
	case q.Backwards:
	case part.from == part.day*dayMicros:
		for shard := range in {
			in[shard] = "0"
		}
	case part.from == q.Position.Seq:
		places, known := w.store.walks.Get(page{q.PartnerID, q.Position})
		for shard := range in {
			if known && places[shard] >= 0 {
				in[shard] = guess + strconv.Itoa(int(places[shard]))
			}
		}
	}
	return in
}

// page is a page of a partner's list, by what stands before it.
type page struct {
	partner uuid.UUID
	after   operation.Position
}

// places are where a page begins in the list of a day of each shard. Negative: that is not known.
type places [operation.Shards]int32

// walks is of how many walks a store knows where the next page begins: 256 bytes each. It is a
// guess, which spares a dozen looks into each list.
const walks = 512

// guess stands before a place that may be wrong by now.
const guess = "~"

// remember keeps where the page behind the last one begins.
func (w *walk) remember(last operation.Operation) {
	if w.today != last.Seq/dayMicros {
		return
	}
	var p places
	for shard := range p {
		p[shard] = -1
	}
	for i := range w.indexes {
		x := &w.indexes[i]
		if len(x.list.buffer) > 0 {
			p[x.shard] = int32(x.list.buffer[0].place)
		} else if n, err := strconv.ParseInt(x.list.next, 10, 32); err == nil {
			p[x.shard] = int32(n)
		}
	}
	for _, e := range w.left {
		if e.Seq >= last.Seq && e.place >= 0 {
			p[e.shard] = min(p[e.shard], int32(e.place))
		}
	}
	w.store.walks.Add(page{w.query.PartnerID, operation.Position{Seq: last.Seq, ID: last.ID}}, p)
}

func (w *walk) enough() bool { return w.full || len(w.found) >= w.want }

// merged takes what is known to come next, in walking order, out of the buffers: an index
// that has more may have it behind the last entry of its buffer. all says that nothing is
// left.
func (w *walk) merged() (next []at, all bool) {
	horizon := operation.Position{}
	all = true
	for i := range w.indexes {
		for _, e := range w.indexes[i].both() {
			if e.done {
				continue
			}
			if last := e.buffer[len(e.buffer)-1].Position; all || w.before(last, horizon) {
				horizon, all = last, false
			}
		}
	}
	for i := range w.indexes {
		for _, e := range w.indexes[i].both() {
			n := len(e.buffer)
			if !all {
				n = 0
				for n < len(e.buffer) && !w.before(horizon, e.buffer[n].Position) {
					n++
				}
			}
			next, e.buffer = append(next, e.buffer[:n]...), e.buffer[n:]
		}
	}
	slices.SortFunc(next, func(a, b at) int {
		if w.query.Backwards {
			return b.Compare(a.Position)
		}
		return a.Compare(b.Position)
	})
	return next, all
}

func (x *dayIndex) both() [2]*entries { return [2]*entries{&x.list, &x.late} }

// before says whether a comes before b in walking order.
func (w *walk) before(a, b operation.Position) bool {
	if w.query.Backwards {
		return a.Compare(b) > 0
	}
	return a.Compare(b) < 0
}

// passed stands for the place of entries that need not be read on.
const passed = "-"

// read fills up the buffers that hold less than half a chunk.
func (w *walk) read(ctx context.Context, part window, chunk int) error {
	var calls []*call
	var of []*dayIndex
	partner := w.query.PartnerID.String()
	for i := range w.indexes {
		x := &w.indexes[i]
		list, late := x.list.wanted(chunk), x.late.wanted(chunk)
		if list == passed && late == passed {
			continue
		}
		of = append(of, x)
		calls = append(calls, w.store.newCall(indexScript, x.shard, partner, part.day, part.from, part.to,
			flag(w.query.Backwards), chunk, list, late))
	}
	if err := w.store.performed(ctx, calls...); err != nil {
		return err
	}
	for i, c := range calls {
		if c.answer.word() == "stale" {
			return ErrStale
		}
		if at := number(c.answer[5]); w.frontier == 0 || at < w.frontier {
			w.frontier = at
		}
		x := of[i]
		for k, e := range x.both() {
			if e.wanted(chunk) != passed {
				w.took(x, e, text(c.answer[1+2*k]), text(c.answer[2+2*k]), part, chunk)
			}
		}
	}
	return nil
}

// wanted says from where to read on.
func (e *entries) wanted(chunk int) string {
	if e.done || len(e.buffer) > chunk/2 {
		return passed
	}
	return e.next
}

// took takes what was read, a text of entries in order of seq, and where the next ones are.
func (w *walk) took(x *dayIndex, e *entries, next, read string, part window, chunk int) {
	count := len(read) / entryBytes
	e.next, e.done = next, count < chunk
	end, _ := strconv.Atoi(next)
	for i := range count {
		if w.query.Backwards {
			i = count - 1 - i
		}
		one := at{position(read[i*entryBytes:][:entryBytes]), x.shard, -1}
		if one.Seq < part.from || one.Seq > part.to {
			e.done = true // past the end of the window
			return
		}
		if e == &x.list {
			one.place = end - count + i
		}
		e.buffer = append(e.buffer, one)
	}
}

// What an entry holds: the seq, and the bytes of the id.
const (
	seqBytes   = 7
	entryBytes = seqBytes + len(uuid.UUID{})
)

func position(entry string) operation.Position {
	var p operation.Position
	for _, b := range []byte(entry[:seqBytes]) {
		p.Seq = p.Seq<<8 | int64(b)
	}
	copy(p.ID[:], entry[seqBytes:])
	return p
}

// take reads the records of the entries and keeps those that the query selects.
func (w *walk) take(ctx context.Context, entries []at) error {
	entries = slices.DeleteFunc(entries, func(e at) bool {
		if !w.last.IsZero() && !w.before(w.last, e.Position) {
			return true
		}
		w.last = e.Position
		return false
	})
	for len(entries) > 0 {
		n := min(len(entries), w.step())
		records, err := w.store.records(ctx, entries[:n])
		if err != nil {
			return err
		}
		if err := w.store.gone(ctx, entries[:n], records); err != nil {
			return err
		}
		for i, rec := range records {
			switch {
			case rec == nil: // its time to live is over
				continue
			case rec.unread != nil && w.unread == nil:
				return rec.unread
			case rec.unread != nil:
				w.unread(entries[i].ID, rec.unread)
				continue
			}
			w.consider(rec.Operation)
			if w.enough() {
				return nil
			}
		}
		entries = entries[n:]
	}
	return nil
}

// consider takes an operation onto the page if the query selects it and the page has room.
func (w *walk) consider(op operation.Operation) {
	bytes := weight(op)
	w.records, w.weight = w.records+1, w.weight+bytes
	if !w.query.Matches(op.Accepted) {
		return
	}
	if w.full = w.bytes+bytes > pageBytes && len(w.found) > 0; !w.full {
		w.found, w.bytes = append(w.found, op), w.bytes+bytes
	}
}

// weight is about how many bytes an operation takes as it is read.
func weight(op operation.Operation) int {
	const row = 512 // of what every operation and every attempt has
	n := row
	for _, v := range op.Changes {
		n += len(v.Text())
	}
	for _, a := range op.Attempts {
		n += row + len(a.Detail)
		for name, value := range a.Header {
			n += len(name) + len(value)
		}
	}
	return n
}

// How many records are read at a time: as many as are wanted still, if the query selects
// all of them. The first few tell how large they are.
const (
	recordsFirst = 64
	recordsLeast = 32
	recordsMost  = 256
)

// step gives how many records are read next: no more of them than the page has room for.
func (w *walk) step() int {
	n := max(recordsLeast, min(w.want-len(w.found), recordsMost))
	if w.records == 0 {
		return min(n, recordsFirst)
	}
	return min(n, 1+max(0, pageBytes-w.bytes)/(w.weight/w.records))
}
