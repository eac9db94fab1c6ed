package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"writeback/internal/admission"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

var linesHeader = http.Header{"Content-Type": {wire.MediaLines}}

// roomy lets batches of any size in.
var roomy = admission.Config{PerSecond: 100_000, Burst: 100_000}

// element writes an element of a batch.
func element(user, connection uuid.UUID, more string) string {
	return `{"user_id":"` + user.String() + `","connection_id":"` + connection.String() + `",` + more + `}`
}

// result is an answer about an element, as it is on the wire.
type result struct {
	Index, Status int
	Operation     *struct {
		ID, Status string
		User       string `json:"resource_id"`
		Payload    map[string]any
	}
	Replayed bool
	Error    map[string]any
	Wait     int `json:"retry_after_seconds"`
}

// batch sends elements as an array, or as lines.
func (a *api) batch(lines bool, header http.Header, elements ...string) (response, []result) {
	a.t.Helper()
	in := request{method: http.MethodPost, path: batchPath, body: "[" + strings.Join(elements, ",") + "]", header: http.Header{}}
	if lines {
		in.body = strings.Join(elements, "\n")
		in.header = linesHeader.Clone()
	}
	for name, values := range header {
		in.header[name] = values
	}
	got := a.send(in)
	return got, results(a.t, got)
}

// results reads the answers in either form, and checks that they are in order.
func results(t *testing.T, got response) (all []result) {
	t.Helper()
	if got.status != http.StatusOK {
		return nil
	}
	switch got.header.Get("Content-Type") {
	case wire.MediaLines:
		for line := range strings.Lines(got.text) {
			var r result
			require.NoError(t, json.Unmarshal([]byte(line), &r))
			all = append(all, r)
		}
	case wire.MediaJSON:
		var answer struct{ Items []result }
		require.NoError(t, json.Unmarshal([]byte(got.text), &answer))
		all = answer.Items
	default:
		require.Fail(t, "an answer of another type", got.header.Get("Content-Type"))
	}
	for i, r := range all {
		require.Equal(t, i, r.Index)
		require.Equal(t, r.Status == http.StatusAccepted, r.Operation != nil)
		require.Equal(t, r.Status != http.StatusAccepted, r.Error != nil)
	}
	return all
}

func TestBatch_AnswersEach(t *testing.T) {
	t.Parallel()
	for _, lines := range []bool{false, true} {
		t.Run(fmt.Sprint("lines ", lines), func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{MaxBody: 400})
			rows := []struct {
				element string
				status  int
				says    string
			}{
				{element(userOne, connOne, `"notes":"first"`), 202, ""},
				{element(userOther, connOther, `"notes":"x"`), 404, "no such user"},
				{element(userOne, connOther, `"notes":"x"`), 404, "no such user"},
				{element(uuid.New(), connOne, `"notes":"x"`), 404, "no such user"},
				{element(userDeleted, connDeleted, `"notes":"x"`), 404, "no such user"},
				{element(userPaused, connPaused, `"notes":"x"`), 409, "paused"},
				{element(userReadOnly, connReadOnly, `"notes":"x"`), 403, "reading only"},
				{element(userNoAdapter, connNoAdapter, `"notes":"x"`), 501, "not implemented"},
				{element(userOne, connOne, `"notes":7,"status":"x"`), 422, "body.status"},
				{element(userOne, connOne, `"notes":"a","is_sync":true`), 422, "not possible in a batch"},
				{element(userOne, connOne, `"nothing":"x"`), 400, "no fields to update"},
				{element(userOne, connOne, `"notes":"a","notes":"b"`), 400, "same key twice"},
				{`{"connection_id":"` + connOne.String() + `","notes":"x"}`, 422, "body.user_id"},
				{`7`, 400, "not a JSON object"},
				{element(userOne, connOne, `"notes":"`+strings.Repeat("x", 400)+`"`), 413, "larger than 400 bytes"},
				{element(userTwo, connTwo, `"notes":"second"`), 202, ""},
				{element(userOne, connOne, `"notes":"third"`), 202, ""},
			}
			elements := make([]string, 0, len(rows))
			for _, row := range rows {
				elements = append(elements, row.element)
			}
			got, all := api.batch(lines, nil, elements...)
			require.Equal(t, 200, got.status, got.text)
			require.Len(t, all, len(rows))
			for i, row := range rows {
				require.Equal(t, row.status, all[i].Status, "%d %s", i, got.text)
				if row.status == 202 {
					continue
				}
				text, err := json.Marshal(all[i].Error)
				require.NoError(t, err)
				require.EqualValues(t, row.status, all[i].Error["code"])
				require.Contains(t, string(text), row.says)
			}
			require.NotContains(t, got.text, partnerTwo.String())
			var notes []string
			for _, op := range api.memory.all() {
				require.Equal(t, partnerOne, op.PartnerID)
				notes = append(notes, op.Changes[operation.FieldNotes].Text())
			}
			require.Equal(t, []string{"first", "second", "third"}, notes)
			require.Equal(t, userTwo.String(), all[15].Operation.User)
			require.Equal(t, "third", all[16].Operation.Payload["notes"])
			require.Equal(t, 5, api.memory.all()[0].MaxAttempts, "the limits of its own connection")

			line := api.line(t)
			require.EqualValues(t, len(rows), line["elements"])
			require.EqualValues(t, 3, line["accepted"])
			require.EqualValues(t, 0, line["replayed"])
			require.EqualValues(t, len(rows)-3, line["refused"])
			require.NotContains(t, api.log.String(), "third")
		})
	}
}

// TestBatch_RefusedAsAWhole: nothing of it is accepted.
func TestBatch_RefusedAsAWhole(t *testing.T) {
	t.Parallel()
	good := element(userOne, connOne, `"notes":"x"`)
	many := make([]string, 1001)
	for i := range many {
		many[i] = good
	}
	array := "[" + good + "]"
	for _, row := range []struct {
		name   string
		in     request
		status int
		says   string
	}{
		{"1,001 elements", request{body: "[" + strings.Join(many, ",") + "]"}, 422, "more than 1000 elements"},
		{"1,001 lines", request{body: strings.Join(many, "\n"), header: linesHeader}, 422, "more than 1000 elements"},
		{"too large", request{body: "[" + strings.Repeat(" ", 2<<20) + good + "]"}, 413, "larger than 2097152 bytes"},
		{"empty", request{body: "[]"}, 400, "no element"},
		{"nothing", request{header: linesHeader}, 400, "no element"},
		{"no array", request{body: good}, 400, "not a JSON array"},
		{"cut off", request{body: "[" + good}, 400, "not valid JSON"},
		{"another type", request{body: array, header: http.Header{"Content-Type": {"text/csv"}}}, 415, "application/x-ndjson"},
		{"compressed", request{body: array, header: http.Header{"Content-Encoding": {"gzip"}}}, 415, "encoded"},
		{"sync", request{body: array, path: "?is_sync=true"}, 422, "query.is_sync"},
		{"dry run", request{body: array, path: "?dry_run=true"}, 422, "query.dry_run"},
		{"both", request{body: array, path: "?is_sync=true&dry_run=true"}, 422, `{"path":"query.is_sync","input":"true","message":"is not possible in a batch","error_type":"extra_forbidden"},` +
			`{"path":"query.dry_run","input":"true","message":"is not possible in a batch","error_type":"extra_forbidden"}`},
		{"bad query", request{body: array, path: "?is_sync=maybe"}, 422, "query.is_sync"},
		{"bad key", request{body: array, header: http.Header{"Idempotency-Key": {"a b"}}}, 400, "visible ASCII"},
		{"two keys", request{body: array, header: http.Header{"Idempotency-Key": {"a", "b"}}}, 400, "once"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			api := newLimitedAPI(t, Config{}, roomy)
			row.in.method, row.in.path = http.MethodPost, batchPath+row.in.path
			got := api.send(row.in)
			require.Equal(t, row.status, got.status, got.text)
			require.EqualValues(t, row.status, got.body["code"])
			require.Contains(t, got.text, row.says)
			require.Empty(t, api.memory.all())
		})
	}
	api := newLimitedAPI(t, Config{}, roomy)
	got, all := api.batch(true, nil, many[:1000]...)
	require.Equal(t, 200, got.status, got.text)
	require.Len(t, all, 1000)
	require.Len(t, api.memory.all(), 1000)
}

// TestBatch_Replay: the same batch again makes nothing new, in either form; another
// place, another user or another value under a key is told.
func TestBatch_Replay(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	key := http.Header{"Idempotency-Key": {`"k"`}}
	elements := []string{
		element(userOne, connOne, `"notes":"a"`), element(userOther, connOther, `"notes":"b"`),
		element(userOne, connOne, `"notes":"c"`), element(userTwo, connTwo, `"notes":"d","idempotency_key":"mine"`),
	}
	first, one := api.batch(false, key, elements...)
	require.Empty(t, first.header.Get("Idempotency-Replayed"))
	api.memory.set(func(op *operation.Operation) { op.Status = operation.Succeeded })
	for _, lines := range []bool{false, true} {
		again, two := api.batch(lines, key, elements...)
		require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
		for i := range one {
			require.Equal(t, one[i].Status, two[i].Status)
			if i == 1 {
				continue
			}
			require.False(t, one[i].Replayed)
			require.True(t, two[i].Replayed)
			require.Equal(t, one[i].Operation.ID, two[i].Operation.ID)
			require.Equal(t, "success", two[i].Operation.Status, "in its present state")
		}
		require.Len(t, api.memory.all(), 3)
	}
	line := api.line(t)
	require.EqualValues(t, 3, line["replayed"])

	// The element's own key stands for it in any batch, and at any place.
	got, mixed := api.batch(false, nil, element(userOne, connOne, `"notes":"new"`), elements[3], elements[3])
	require.Empty(t, got.header.Get("Idempotency-Replayed"), "there is something new")
	require.False(t, mixed[0].Replayed)
	require.Equal(t, one[3].Operation.ID, mixed[1].Operation.ID)
	require.Equal(t, one[3].Operation.ID, mixed[2].Operation.ID)
	require.Len(t, api.memory.all(), 4)

	_, other := api.batch(false, key, element(userOne, connOne, `"notes":"another"`), element(userTwo, connTwo, `"notes":"e","idempotency_key":"mine"`))
	for i, want := range [][2]string{{"header.Idempotency-Key", "k"}, {"body.idempotency_key", "mine"}} {
		require.Equal(t, 422, other[i].Status)
		fault := other[i].Error["detail"].([]any)[0].(map[string]any)
		require.Equal(t, want, [2]string{fault["path"].(string), fault["input"].(string)})
	}
	require.Len(t, api.memory.all(), 4)

	// A key is good for its user: the same text for another is another key.
	_, apart := api.batch(false, key, element(userOneB, connOne, `"notes":"x","idempotency_key":"mine"`))
	require.Equal(t, 202, apart[0].Status)
	require.False(t, apart[0].Replayed)
	// A key of a batch and one of a single update are different keys.
	require.Empty(t, api.keyed("", "mine").header.Get("Idempotency-Replayed"))
	_, theirs := api.batch(false, http.Header{"Idempotency-Key": {"k"}, "Authorization": {"Bearer " + token(partnerTwo)}}, element(userOther, connOther, `"notes":"b"`))
	require.Equal(t, 202, theirs[0].Status)
	require.False(t, theirs[0].Replayed)
}

// TestBatch_ReplayInAnotherForm: an array that is indented and the lines of the same
// elements are the same batch.
func TestBatch_ReplayInAnotherForm(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	key := http.Header{"Idempotency-Key": {"k"}}
	elements := []string{element(userOne, connOne, `"notes":"a b <c>"`), element(userTwo, connTwo, `"notes":"d","idempotency_key":"mine"`)}
	spaced := strings.NewReplacer(`{`, "{\n    ", `,"`, ",\r\n\t\"", `":`, `" : `)
	_, one := api.batch(false, key, spaced.Replace(elements[0]), spaced.Replace(elements[1]))
	require.Len(t, one, 2)
	got, two := api.batch(true, key, elements...)
	require.Equal(t, "true", got.header.Get("Idempotency-Replayed"), got.text)
	for i := range one {
		require.Equal(t, one[i].Operation.ID, two[i].Operation.ID)
	}
	_, other := api.batch(true, key, strings.Replace(elements[0], "a b", "ab", 1))
	require.Equal(t, 422, other[0].Status, "space inside of a text counts")
	require.Len(t, api.memory.all(), 2)
}

func TestBatch_Admission(t *testing.T) {
	t.Parallel()
	api := newLimitedAPI(t, Config{}, admission.Config{PerSecond: 2, Burst: 6, Outstanding: 9, Now: still})
	good := element(userOne, connOne, `"notes":"x"`)
	got, all := api.batch(false, nil, good, good, `7`, good)
	require.Len(t, all, 4, got.text)
	require.Equal(t, `"partner";r=2;t=2`, got.header.Get("RateLimit"), "refused elements count too")
	got, _ = api.batch(false, nil, good, good, good)
	require.Equal(t, 429, got.status)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Equal(t, `"partner";r=1;t=3`, got.header.Get("RateLimit"))
	require.Contains(t, got.text, "2 writes per second")
	require.Len(t, api.memory.all(), 3, "a batch that does not fit is refused as a whole")
	require.Equal(t, 202, api.patch(userOne, "", connOne, `"notes":"x"`).status)

	api = newLimitedAPI(t, Config{}, admission.Config{PerSecond: 2, Burst: 6, Outstanding: 9, Now: still})
	many := make([]string, 10)
	for i := range many {
		many[i] = good
	}
	got, _ = api.batch(true, nil, many...)
	require.Equal(t, 429, got.status, "more than may be outstanding")
	require.Equal(t, "5", got.header.Get("Retry-After"))
	require.Contains(t, got.text, "at most 9")
	require.Empty(t, api.memory.all())
	require.Equal(t, `"partner";r=0;t=5`, got.header.Get("RateLimit"), "and more than the burst: a debt")
	require.Equal(t, 429, api.patch(userOne, "", connOne, `"notes":"x"`).status)
}

// TestBatch_StoreAway: what was not accepted says so, each with when to come again.
func TestBatch_StoreAway(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	api.memory.fault = &operation.Error{Code: operation.CodeUnavailable, Message: "the store is away", RetryAfter: 2 * time.Second}
	got, all := api.batch(false, nil, element(userOne, connOne, `"notes":"x"`), `{}`)
	require.Equal(t, 200, got.status)
	require.Equal(t, 503, all[0].Status)
	require.Equal(t, 2, all[0].Wait)
	require.Equal(t, "the store is away", all[0].Error["detail"])
	require.Equal(t, 422, all[1].Status)
	require.Zero(t, all[1].Wait)
}

// TestBatch_IsOneTrace: every operation belongs to the trace of the request.
func TestBatch_IsOneTrace(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	api := newAPI(t, Config{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))})
	got, _ := api.batch(false, nil, element(userOne, connOne, `"notes":"x"`), element(userTwo, connTwo, `"notes":"x"`), `7`)
	trace := got.header.Get(wire.HeaderTraceID)
	require.NotEmpty(t, trace)
	for _, op := range api.memory.all() {
		require.Contains(t, op.TraceParent, trace)
	}
	require.Eventually(t, func() bool { return len(spans.Ended()) == 1 }, 5*time.Second, time.Millisecond)
	attributes := map[string]int64{}
	for _, a := range spans.Ended()[0].Attributes() {
		if strings.HasPrefix(string(a.Key), "writeback.batch.") {
			attributes[strings.TrimPrefix(string(a.Key), "writeback.batch.")] = a.Value.AsInt64()
		}
	}
	require.Equal(t, map[string]int64{"elements": 3, "accepted": 2, "replayed": 0, "refused": 1}, attributes)
}

// TestBatch_CountsItsUpdatesByStatus: the request is answered 200 whatever becomes of its
// elements, so they are what is counted.
func TestBatch_CountsItsUpdatesByStatus(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	api := newLimitedAPI(t, Config{Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))}, roomy)
	counted := func() map[string]int64 {
		var data metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &data))
		out := map[string]int64{}
		for _, scope := range data.ScopeMetrics {
			for _, m := range scope.Metrics {
				if m.Name != "writeback.batch.updates" {
					continue
				}
				for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
					code, _ := p.Attributes.Value("http.response.status_code")
					out[code.String()] += p.Value
				}
			}
		}
		return out
	}
	doc, err := published()
	require.NoError(t, err)
	answers, _ := doc.at("paths", batchPath, "post", "responses")
	for code := range answers {
		if code != "200" && code != "405" { // what no route of ours answers
			require.Contains(t, counted(), code, "shown before it happens")
		}
	}
	api.batch(false, nil, element(userOne, connOne, `"notes":"a"`), element(userOne, connOne, `"notes":"b"`),
		element(uuid.New(), connOne, `"notes":"c"`), `{"user_id":1}`)
	require.Eventually(t, func() bool { return counted()["202"] == 2 }, 5*time.Second, time.Millisecond)
	require.EqualValues(t, 1, counted()["404"])
	require.EqualValues(t, 1, counted()["422"])
	api.batch(false, nil, "not JSON")
	require.Eventually(t, func() bool { return counted()["400"]+counted()["422"] == 2 }, 5*time.Second, time.Millisecond, "refused as a whole")
}
