package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/tail"
	"writeback/internal/webhook"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

const tailPath = operationsPath + "/events"

// script are streams whose messages the test says.
type script struct {
	now  natsq.Moment
	past []natsq.Told
	feed chan natsq.Told
	stop context.CancelFunc
}

func newScript() *script {
	return &script{feed: make(chan natsq.Told), now: natsq.Moment{Operations: 10, Events: 20}}
}

func (s *script) Now(context.Context) (natsq.Moment, error) { return s.now, nil }

func (s *script) Follow(ctx context.Context, _ natsq.Moment, wanted func([]byte) bool, pass func(natsq.Told)) error {
	for {
		select {
		case told := <-s.feed:
			text, _ := json.Marshal(told)
			if !wanted(text) {
				told.Accepted, told.Ended = nil, nil
			}
			pass(told)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *script) Past(_ context.Context, from, to natsq.Moment, _ func([]byte) bool, pass func(natsq.Told) error) error {
	for _, told := range s.past {
		if told.At.Operations > from.Operations && told.At.Operations <= to.Operations {
			if err := pass(told); err != nil {
				return err
			}
		}
	}
	return nil
}

// tail is a hub on the script that ends with the test.
func (a *api) tail(t testing.TB) *tail.Hub {
	hub := tail.New(a.script, tail.Config{PerPartner: 2, Back: 25}, a.logger())
	ctx, cancel := context.WithCancel(context.Background())
	a.script.stop = cancel
	done := make(chan struct{})
	go func() { defer close(done); _ = hub.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return hub
}

// told is an operation of a partner that was accepted, or that has ended.
func told(partner uuid.UUID, n uint64, status operation.Status) natsq.Told {
	a := operation.Accepted{
		Version: operation.Version, ID: id(int(0x7000 + n)), PartnerID: partner, ConnectionID: connOne, Provider: "samsara",
		Resource: operation.ResourceUser, ResourceID: userOne, Type: operation.Update,
		Changes: operation.Changes{operation.FieldNotes: operation.Text("a < b\nc")},
	}
	p := operation.Place{Seq: worldTime.UnixMicro(), Deadline: worldTime.Add(time.Hour)}
	t := natsq.Told{At: natsq.Moment{Operations: n, Events: 20}}
	if status == operation.Pending {
		t.Accepted = &operation.Message{Accepted: a, Place: p}
		return t
	}
	t.Ended = &operation.Event{Operation: operation.Operation{Accepted: a, Place: p, Status: status, UpdatedAt: worldTime.Add(time.Second)}}
	return t
}

// sse is one event as a reader sees it, but for its id, which is opened.
type sse struct{ id, event, data string }

// listener reads events.
type listener struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
}

func (a *api) follow(in request) *listener {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+tailPath+in.path, nil)
	require.NoError(a.t, err)
	if in.token == "" {
		in.token = token(partnerOne)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + in.token}}
	for name, values := range in.header {
		req.Header[name] = values
	}
	resp, err := a.client.Do(req)
	require.NoError(a.t, err)
	a.t.Cleanup(func() { cancel(); _ = resp.Body.Close() })
	return &listener{a.t, resp, bufio.NewReader(resp.Body)}
}

// next reads one block.
func (r *listener) next() (e sse) {
	r.t.Helper()
	for {
		line, err := r.in.ReadString('\n')
		require.NoError(r.t, err)
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n":
			return e
		case name == "id":
			place, err := cursors.DecodeTail(value)
			require.NoError(r.t, err, "opaque: %s", value)
			e.id = place
		case name == "event":
			e.event = value
		case name == "data":
			require.Empty(r.t, e.data, "one line")
			e.data = value
		}
	}
}

func (e sse) operation(t *testing.T) wire.OperationEvent {
	t.Helper()
	var out wire.OperationEvent
	require.NoError(t, json.Unmarshal([]byte(e.data), &out), e.data)
	require.Len(t, out.Data, 1)
	require.Equal(t, e.event, out.EventName)
	return out
}

func TestTail_TellsOnlyOnesOwn(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	mine, theirs := api.follow(request{}), api.follow(request{token: token(partnerTwo)})
	require.Equal(t, 200, mine.resp.StatusCode)
	require.Equal(t, "text/event-stream", mine.resp.Header.Get("Content-Type"))
	require.Equal(t, "no-store", mine.resp.Header.Get("Cache-Control"))
	require.Equal(t, "10-20", mine.next().id)
	require.Equal(t, "10-20", theirs.next().id)
	api.script.feed <- told(partnerOne, 11, operation.Pending)
	api.script.feed <- told(partnerTwo, 12, operation.Pending)
	sync := told(partnerOne, 13, operation.Succeeded)
	sync.Ended.Operation.Sync = true
	api.script.feed <- sync
	api.script.feed <- told(partnerOne, 14, operation.Failed)

	created := mine.next()
	require.Equal(t, "11-20", created.id)
	e := created.operation(t)
	require.Equal(t, webhook.EventCreated, e.EventName)
	require.Equal(t, operation.EventID(id(0x7000+11), webhook.KindCreated), e.ID)
	require.Equal(t, partnerOne, e.Data[0].PartnerID)
	require.Equal(t, operation.Pending, e.Data[0].Status)
	failed := mine.next()
	require.Equal(t, "14-20", failed.id)
	require.Equal(t, webhook.EventFailed, failed.operation(t).EventName)
	require.Equal(t, operation.EventID(id(0x7000+14), operation.EventFailed), failed.operation(t).ID)
	require.Equal(t, partnerTwo, theirs.next().operation(t).Data[0].PartnerID)
}

func TestTail_GoesOnFromAPlace(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for n := uint64(7); n <= 10; n++ {
		api.script.past = append(api.script.past, told(partnerOne, n, operation.Pending), told(partnerTwo, n, operation.Pending))
	}
	seven, eight := cursors.EncodeTail("7-20"), cursors.EncodeTail("8-20")
	for _, in := range []request{
		{header: http.Header{"Last-Event-Id": {eight}}},
		{path: "?last_event_id=" + eight},
		{path: "?last_event_id=" + seven, header: http.Header{"Last-Event-Id": {eight}}},
	} {
		r := api.follow(in)
		require.Equal(t, "8-20", r.next().id)
		for _, at := range []string{"9-20", "10-20"} {
			e := r.next()
			require.Equal(t, at, e.id)
			require.Equal(t, partnerOne, e.operation(t).Data[0].PartnerID)
		}
		require.NoError(t, r.resp.Body.Close())
		require.Eventually(t, func() bool { return api.opens(partnerOne) }, 30*time.Second, time.Millisecond)
	}
	for _, far := range []string{"0-0", "10-999999999"} {
		r := api.follow(request{path: "?last_event_id=" + cursors.EncodeTail(far), token: token(partnerTwo)})
		r.next()
		gap := r.next()
		require.Equal(t, "gap", gap.event, far)
		require.Equal(t, "10-20", gap.id, "who comes back is not told again")
	}
	for _, bad := range []string{"x", "8-20", eight + "%0A", cursors.Encode(wire.Cursor{Kind: wire.KindUsers}), eight[:len(eight)-1]} {
		require.Equal(t, 400, api.get(tailPath+"?last_event_id="+bad).status, bad)
	}
	require.Equal(t, 422, api.get(tailPath+"?last_event_id=").status)
}

// opens reports whether a stream of the partner can be opened just now: those that
// hung up are noticed a little later.
func (a *api) opens(partner uuid.UUID) bool {
	got := a.send(request{path: tailPath, token: token(partner) + " " + endsNow})
	return got.status == 200
}

func TestTail_SaysThatItLives(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Heartbeat: time.Millisecond})
	r := api.follow(request{})
	r.next()
	require.Equal(t, sse{id: "10-20"}, r.next(), "a comment, and no event")
	api.script.feed <- told(partnerTwo, 15, operation.Pending)
	for r.next().id != "15-20" { // the place moves on with what others do
	}
}

func TestTail_EndsAreTold(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	got := api.send(request{path: tailPath, token: token(partnerOne) + " " + endsNow})
	require.Equal(t, 200, got.status)
	require.Contains(t, got.text, "event: end\ndata: {\"code\":401,\"message\":\"the token has expired\"}\n\n")

	one, two := api.follow(request{}), api.follow(request{})
	one.next()
	two.next()
	got = api.get(tailPath)
	require.Equal(t, 429, got.status, "two are the most here")
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.Less(t, api.send(request{path: tailPath, token: token(partnerTwo) + " " + endsNow}).status, 300, "of each partner")

	api.script.stop()
	require.Contains(t, one.next().data, `"code":503`)
	_, err := one.in.ReadByte()
	require.Error(t, err)
	require.Eventually(t, func() bool { return api.get(tailPath).status == 503 }, 30*time.Second, time.Millisecond)
}

func TestTail_HeadAnswersAtOnce(t *testing.T) {
	t.Parallel()
	got := newAPI(t, Config{}).send(request{method: http.MethodHead, path: tailPath})
	require.Equal(t, 200, got.status)
	require.Equal(t, "text/event-stream", got.header.Get("Content-Type"))
}
