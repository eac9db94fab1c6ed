package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

const (
	// loadAtOnce bounds the requests under way.
	loadAtOnce = 256
	// An operation that has not ended is read again, ever more seldom.
	readFirst = 50 * time.Millisecond
	readLast  = 2 * time.Second
	// mostLostIDs bounds the lost operations that are named.
	mostLostIDs = 20
	highest     = int64(time.Hour / time.Microsecond)
)

// loadRun is one load test under way.
type loadRun struct {
	api        *partnerAPI
	connection uuid.UUID
	users      []uuid.UUID
	loading
	writes int

	mu                  sync.Mutex
	sent, accepted      int
	succeeded, failed   int
	refused             map[string]int
	lost                []uuid.UUID
	acceptTook, endTook *hdrhistogram.Histogram
	seconds             float64
}

func newLoadRun(api *partnerAPI, connection uuid.UUID, users []uuid.UUID, l loading) *loadRun {
	writes := l.count
	if l.duration > 0 {
		writes = min(writes, max(1, int(l.duration.Seconds()*float64(l.rate))))
	}
	return &loadRun{
		api: api, connection: connection, users: users, loading: l, writes: writes, refused: map[string]int{},
		acceptTook: hdrhistogram.New(1, highest, 3), endTook: hdrhistogram.New(1, highest, 3),
	}
}

// usersOf gives some users of a connection.
func usersOf(ctx context.Context, api *partnerAPI, connection uuid.UUID, most int) ([]uuid.UUID, error) {
	var page struct {
		Items []struct {
			ID uuid.UUID `json:"id"`
		} `json:"items"`
	}
	q := url.Values{"connection_id": {connection.String()}, "size": {strconv.Itoa(min(most, wire.MaxSize))}}
	if err := api.call(ctx, http.MethodGet, "/v2/telematics/users?"+q.Encode(), nil, nil, &page); err != nil {
		return nil, err
	}
	if len(page.Items) == 0 {
		return nil, errors.New("the connection has no users, or is another partner's")
	}
	out := make([]uuid.UUID, len(page.Items))
	for i, item := range page.Items {
		out[i] = item.ID
	}
	return out, nil
}

// run writes at an even rate, whatever the answers take, and follows what was
// accepted. Latencies are counted from when a write was due, so that a stall shows.
func (r *loadRun) run(ctx context.Context) error {
	var g errgroup.Group
	slots := make(chan struct{}, loadAtOnce)
	began := time.Now()
	gap := time.Second / time.Duration(r.rate)
	last := began.Add(time.Duration(r.writes-1) * gap)
	for n := range r.writes {
		due := began.Add(time.Duration(n) * gap)
		if !sleepUntil(ctx, due) {
			break
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		g.Go(func() error {
			id, ok := r.write(ctx, n, due)
			<-slots
			if ok {
				r.follow(ctx, id, last.Add(r.settle))
			}
			return nil
		})
	}
	writing := time.Since(began)
	_ = g.Wait()
	r.seconds = max(writing.Seconds(), gap.Seconds())
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// sleepUntil reports false if ctx ended first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	wait := time.NewTimer(time.Until(t))
	defer wait.Stop()
	select {
	case <-wait.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// someID is in the text of a refusal that names its operation: each would be a reason of its own.
var someID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// write sends one update and reports whether it was accepted.
func (r *loadRun) write(ctx context.Context, n int, due time.Time) (uuid.UUID, bool) {
	body := map[string]any{"connection_id": r.connection, "first_name": "Load", "last_name": "Test" + strconv.Itoa(n)}
	header := http.Header{"Idempotency-Key": {uuid.NewString()}}
	var op wire.ResourceOperation
	path := "/v2/telematics/users/" + r.users[n%len(r.users)].String()
	err := r.api.call(ctx, http.MethodPatch, path, header, body, &op)
	took := time.Since(due)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent++
	if err != nil {
		r.refused[someID.ReplaceAllString(err.Error(), "ID")]++
		return uuid.Nil, false
	}
	r.accepted++
	_ = r.acceptTook.RecordValue(clamped(took))
	return op.ID, true
}

func clamped(d time.Duration) int64 { return min(max(d.Microseconds(), 1), highest) }

// follow reads an operation until it has ended, or the time is over: then it is lost.
func (r *loadRun) follow(ctx context.Context, id uuid.UUID, until time.Time) {
	for wait := readFirst; sleepUntil(ctx, time.Now().Add(wait)); wait = min(2*wait, readLast) {
		var op wire.ResourceOperationRead
		err := r.api.call(ctx, http.MethodGet, operationPath(r.connection, id), nil, nil, &op)
		var answer *statusError
		gone := errors.As(err, &answer) && answer.status == http.StatusNotFound
		if err == nil && op.Status != operation.Pending {
			r.end(op)
			return
		}
		if gone || time.Now().After(until) {
			r.mu.Lock()
			r.lost = append(r.lost, id)
			r.mu.Unlock()
			return
		}
	}
}

func (r *loadRun) end(op wire.ResourceOperationRead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if op.Status == operation.Succeeded {
		r.succeeded++
	} else {
		r.failed++
	}
	// By the server's own times: ours are as coarse as we read.
	_ = r.endTook.RecordValue(clamped(op.UpdatedAt.Sub(op.CreatedAt)))
}

func (r *loadRun) progress() (sent, accepted, ended int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent, r.accepted, r.succeeded + r.failed
}

func (r *loadRun) result() loadView {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := loadView{
		Connection: r.connection, Seconds: r.seconds, Rate: float64(r.accepted) / r.seconds, Sent: r.sent, Accepted: r.accepted,
		Refused: r.refused, Succeeded: r.succeeded, Failed: r.failed, Lost: len(r.lost), LostIDs: []uuid.UUID{},
		Accept: percentilesOf(r.acceptTook), End: percentilesOf(r.endTook),
	}
	v.LostIDs = append(v.LostIDs, r.lost[:min(len(r.lost), mostLostIDs)]...)
	return v
}

// percentiles of a latency, in milliseconds.
type percentiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func percentilesOf(h *hdrhistogram.Histogram) percentiles {
	ms := func(micros int64) float64 { return float64(micros) / 1000 }
	return percentiles{
		P50: ms(h.ValueAtPercentile(50)), P90: ms(h.ValueAtPercentile(90)), P99: ms(h.ValueAtPercentile(99)), Max: ms(h.Max()),
	}
}

// String shows them in a row.
func (p percentiles) String() string {
	return fmt.Sprintf("p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, max %.1f ms", p.P50, p.P90, p.P99, p.Max)
}
