package work_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// judge is a provider that answers as each write's notes say, and sees what no
// provider may see.
type judge struct {
	mu     sync.Mutex
	calls  []judged
	active []judged
	faults []string
}

// judged is one call.
type judged struct {
	op, conn uuid.UUID
	user     string
}

const judgeCap = 2

func (j *judge) Describe() tsp.Description {
	return tsp.Description{Name: "fake", Limits: tsp.Limits{InFlight: judgeCap, Call: 300 * time.Millisecond}}
}

// UpdateUser reads its answer from the notes: "ok", "busy <times>" or "no", then
// the milliseconds that it takes.
func (j *judge) UpdateUser(_ context.Context, c tsp.Connection, u tsp.UserUpdate) (tsp.Result, error) {
	call := judged{u.OperationID, c.ID, u.SourceID}
	word, times, ms := "", 0, 0
	if _, err := fmt.Sscan(u.Changes[operation.FieldNotes].Text(), &word, &times, &ms); err != nil {
		return tsp.Result{}, err
	}
	n := j.begin(call)
	time.Sleep(time.Duration(ms) * time.Millisecond) // the provider's latency
	j.end(call)
	switch {
	case word == "no":
		return tsp.Result{}, operation.Refuse("notes: no")
	case n <= times:
		f := busyProvider
		return tsp.Result{}, &f
	}
	return tsp.Result{StatusCode: 200}, nil
}

func (j *judge) begin(call judged) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	inFlight := 0
	for _, a := range j.active {
		if a.conn == call.conn {
			inFlight++
		}
		if a.user == call.user {
			j.faults = append(j.faults, fmt.Sprintf("two calls at once for user %s", call.user))
		}
	}
	if inFlight >= judgeCap {
		j.faults = append(j.faults, fmt.Sprintf("%d calls at once for connection %s", inFlight+1, call.conn))
	}
	j.active = append(j.active, call)
	j.calls = append(j.calls, call)
	for _, c := range j.calls {
		if c.op == call.op {
			n++
		}
	}
	return n
}

func (j *judge) end(call judged) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.Index(j.active, call)
	j.active = slices.Delete(j.active, i, i+1)
}

func (j *judge) so() (calls []judged, faults []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.calls), slices.Clone(j.faults)
}

// trial is one history: writes of a few users, a loss of Redis's data in the
// middle, more writes.
type trial struct {
	*rig
	judge *judge
	rand  *rand.Rand
	conns []uuid.UUID
	users map[uuid.UUID][]uuid.UUID
	ops   []operation.Operation // in accept order
}

func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	r := rigOn(t, &provider{})
	tr := &trial{rig: r, judge: &judge{}, rand: rand.New(rand.NewPCG(seed, 1)), users: map[uuid.UUID][]uuid.UUID{}}
	registry, err := tsp.NewRegistry(tr.judge)
	require.NoError(t, err)
	r.store = redisstore.New(r.rdb, redisstore.Config{StartWindow: 200 * time.Millisecond, Margin: 200 * time.Millisecond})
	r.parts.Store, r.parts.Providers = r.store, registry
	r.acker = work.NewAcker(r.store, slog.New(slog.DiscardHandler))
	r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	r.background(r.acker.Run)
	for range 2 {
		conn := uuid.New()
		tr.conns = append(tr.conns, conn)
		tr.users[conn] = []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	}
	return tr
}

// begin runs a worker with a store of its own, as another process would.
func (tr *trial) begin() {
	parts := tr.parts
	parts.Store = redisstore.New(tr.rdb, tr.store.Config())
	acker := work.NewAcker(parts.Store, parts.Log)
	tr.background(acker.Run)
	restorer := work.NewRestorer(parts.Store, tr.history(), work.RestoreConfig{
		Settle: 20 * time.Millisecond,
		LongestCalls: func() (all [operation.Shards]time.Duration) {
			for i := range all {
				all[i] = tr.judge.Describe().Limits.Call
			}
			return all
		},
	}, parts.Log)
	w := work.NewWorker(parts, tr.cfg, acker, restorer)
	wakes := tr.wakes(w)
	tr.background(func(ctx context.Context) error { return w.Run(ctx, wakes) })
}

// write accepts one random write; while the store is away it asks again, as a
// client would, with the same id.
func (tr *trial) write() {
	tr.t.Helper()
	conn := tr.conns[tr.rand.IntN(len(tr.conns))]
	user := tr.users[conn][tr.rand.IntN(3)]
	notes := fmt.Sprintf("ok 0 %d", tr.rand.IntN(30))
	switch tr.rand.IntN(6) {
	case 5:
		notes = "ok 0 220" // nearly all of its time
	case 0:
		notes = fmt.Sprintf("busy %d %d", 1+tr.rand.IntN(2), tr.rand.IntN(20))
	case 1:
		notes = "no 0 1"
	}
	a := tr.change(user, notes)
	a.ConnectionID = conn
	if tr.rand.IntN(2) == 0 {
		a.Key = &operation.Key{Scope: a.ID.String(), Fingerprint: "f"}
	}
	require.Eventually(tr.t, func() bool {
		op, err := tr.accepter.Accept(tr.t.Context(), a, tr.judge.Describe().Limits.WithDefaults())
		var refused *operation.Error
		if errors.As(err, &refused) && refused.Code == operation.CodeUnavailable {
			return false
		}
		require.NoError(tr.t, err)
		tr.ops = append(tr.ops, op)
		return true
	}, 30*time.Second, 10*time.Millisecond)
}

func (tr *trial) someWrites() {
	for range 4 + tr.rand.IntN(8) {
		tr.write()
		if tr.rand.IntN(3) == 0 {
			pause := time.Duration(tr.rand.IntN(40)) * time.Millisecond
			select {
			case <-time.After(pause): // between two requests
			case <-tr.t.Context().Done():
			}
		}
	}
}

// told gives the final events so far.
func (tr *trial) told() map[uuid.UUID]operation.Operation {
	out := map[uuid.UUID]operation.Operation{}
	for _, e := range tr.events() {
		if e.Kind != operation.EventAttempted {
			out[e.Operation.ID] = e.Operation
		}
	}
	return out
}

// ends waits until every accepted operation has ended and the streams have it.
func (tr *trial) ends() map[uuid.UUID]operation.Operation {
	tr.t.Helper()
	ended := map[uuid.UUID]operation.Operation{}
	for _, op := range tr.ops {
		require.Eventually(tr.t, func() bool {
			got, err := tr.store.Get(tr.t.Context(), op.ConnectionID, op.ID)
			ended[op.ID] = got
			return err == nil && got.Status.Terminal()
		}, 60*time.Second, 10*time.Millisecond, "operation %s never ended", op.ID)
	}
	tr.settled()
	return ended
}

// inOrder counts calls of an older write after one of a newer one of the user.
// Forgiven is what was not in the streams when the data went: its outcome, or that
// of the newer one.
func (tr *trial) inOrder(told map[uuid.UUID]operation.Operation, before int) (late int, faults []string) {
	place := map[uuid.UUID]int{}
	for i, op := range tr.ops {
		place[op.ID] = i
	}
	calls, faults := tr.judge.so()
	newest := map[string]judged{}
	for i, c := range calls {
		n, ok := newest[c.user]
		if ok && place[n.op] > place[c.op] {
			if _, known := told[c.op]; known || i < before {
				faults = append(faults, fmt.Sprintf("operation %s was called after a newer one", c.op))
			} else {
				late++
			}
			continue
		}
		newest[c.user] = c
	}
	return late, faults
}

// replays requires that each key still stands for its operation.
func (tr *trial) replays() {
	tr.t.Helper()
	for _, op := range tr.ops {
		if op.Key == nil {
			continue
		}
		again := op.Accepted
		again.ID = uuid.Must(uuid.NewV7())
		got, err := tr.accepter.Accept(tr.t.Context(), again, tr.judge.Describe().Limits.WithDefaults())
		require.NoError(tr.t, err)
		require.Equal(tr.t, op.ID, got.ID, "the key stands for another operation now")
	}
}

// histories is how many are played.
func histories() int {
	if n, err := strconv.Atoi(os.Getenv("REVIEW_LONG")); err == nil && n > 0 {
		return max(n, 4)
	}
	return 4
}

// TestReview_HistoriesWithALoss plays short random histories in which Redis is
// wiped or goes back at a random moment, and requires every promise that holds
// over it. What may be repeated is counted.
func TestReview_HistoriesWithALoss(t *testing.T) {
	t.Parallel()
	for i := range histories() {
		for _, loss := range []string{"wipe", "roll back"} {
			seed := uint64(i)
			if s := os.Getenv("REVIEW_SEED"); s != "" {
				seed, _ = strconv.ParseUint(s, 10, 64)
			}
			t.Run(fmt.Sprintf("%s %d", strings.ReplaceAll(loss, " ", "-"), seed), func(t *testing.T) {
				t.Parallel()
				newTrial(t, seed).play(loss == "wipe")
			})
		}
	}
}

func (tr *trial) play(wiped bool) {
	t := tr.t
	tr.begin()
	tr.begin()
	tr.someWrites()
	var snapshot map[string]string
	if !wiped {
		tr.beat()
		snapshot = dump(t, tr.rig)
		tr.someWrites()
		tr.beat() // what the workers remember is newer than what is left
	}
	tr.someWrites()
	told := tr.told()
	calls, _ := tr.judge.so()
	if wiped {
		require.NoError(t, tr.rdb.FlushAll(t.Context()).Err())
	} else {
		load(t, tr.rig, snapshot)
	}
	tr.someWrites()

	ended := tr.ends()
	for id, was := range told {
		got := ended[id]
		require.Equal(t, was.Status, got.Status, "an end that was told has changed")
		require.Equal(t, was.Attempts, got.Attempts, "the log of an ended operation has changed")
		require.Equal(t, was.Seq, got.Seq)
	}
	late, faults := tr.inOrder(told, len(calls))
	require.Empty(t, faults)
	tr.replays()
	after, _ := tr.judge.so()
	for _, c := range after[len(calls):] {
		_, known := told[c.op]
		require.False(t, known, "operation %s was called again after its end was told", c.op)
	}
	t.Logf("%d operations, %d told before the loss, %d calls; residue: %d late, %d outcomes repeated",
		len(tr.ops), len(told), len(after), late, tr.repeated(after))
}

// repeated counts calls that come after one which decided the operation.
func (tr *trial) repeated(calls []judged) (n int) {
	left := map[uuid.UUID]int{}
	for _, op := range tr.ops {
		word, times := "", 0
		_, err := fmt.Sscan(op.Changes[operation.FieldNotes].Text(), &word, &times)
		require.NoError(tr.t, err)
		left[op.ID] = times + 1
	}
	for _, c := range calls {
		if left[c.op]--; left[c.op] < 0 {
			n++
		}
	}
	return n
}

// beat waits until every worker has written its beat again.
func (tr *trial) beat() {
	tr.t.Helper()
	read := func() map[string]string {
		return tr.rdb.HGetAll(tr.t.Context(), fmt.Sprintf("wb:{%02d}:beat", operation.ShardOf(tr.conns[0]))).Val()
	}
	was := read()
	require.Eventually(tr.t, func() bool {
		now := read()
		moved := 0
		for process, at := range now {
			if was[process] != at {
				moved++
			}
		}
		return moved == 2
	}, 20*time.Second, 10*time.Millisecond)
}
