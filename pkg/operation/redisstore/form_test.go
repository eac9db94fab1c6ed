package redisstore

import (
	"errors"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/pkg/operation"
)

// sorted writes maps in the order in which we write them; plain is what rows and fixed
// parts were written with, whose headers came in any order.
func sorted(t require.TestingT, v any) string {
	b, err := canonical.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

func plain(t require.TestingT, v any) string {
	b, err := cbor.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// byTags are the readers of the library.
func docByTags(s string) (operation.Accepted, error) {
	var d doc
	if err := cbor.Unmarshal([]byte(s), &d); err != nil {
		return operation.Accepted{}, err
	}
	return d.accepted()
}

func rowByTags(s string) (operation.Attempt, error) {
	var r taggedRow
	err := cbor.Unmarshal([]byte(s), &r)
	return row(r).attempt(uuid.Nil, uuid.Nil, false), err
}

func endedByTags(s string) (operation.Operation, error) {
	var e ended
	if err := cbor.Unmarshal([]byte(s), &e); err != nil {
		return operation.Operation{}, err
	}
	return e.operation()
}

// loggedRow reads a row without an id before it.
func loggedRow(s string) (operation.Attempt, error) {
	if strings.HasPrefix(s, "{") { // a script's
		return operation.Attempt{}, nil
	}
	return decodeRow("k"+uuid.Nil.String()+s, uuid.Nil)
}

// check compares what is written, and what is read of what either has written.
func check(t require.TestingT, op operation.Operation) {
	s := string(encodeDoc(op.Accepted))
	require.Equal(t, plain(t, docOf(op.Accepted)), s)
	same(t, s, decodeDoc, docByTags)
	for _, a := range op.Attempts {
		tagged := taggedRow(rowOf(a))
		s := string(encodeRow(rowOf(a)))
		require.Equal(t, sorted(t, tagged), s)
		require.Len(t, plain(t, tagged), len(s))
		same(t, s, loggedRow, rowByTags)
		same(t, plain(t, tagged), loggedRow, rowByTags)
	}
	s = string(appendEnded(nil, &op))
	require.Equal(t, sorted(t, endedOf(op)), s)
	same(t, s, decodeEnded, endedByTags)
	same(t, plain(t, endedOf(op)), decodeEnded, endedByTags)
}

func same[T any](t require.TestingT, s string, ours, byTags func(string) (T, error)) {
	want, err := byTags(s)
	require.NoError(t, err)
	got, err := ours(s)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestForms_AreTheLibrarys(t *testing.T) {
	t.Parallel()
	none := operation.Operation{Status: operation.Failed}
	long := wholeOperation()
	long.Attempts[0].Detail = strings.Repeat("é", 200)
	long.Attempts[1].Detail = strings.Repeat("東", 1<<15)
	long.Attempts[1].Header = map[string]string{}
	for i := range 300 {
		long.Attempts[1].Header[strings.Repeat("x", i)] = "🚚"
	}
	long.Attempts = append(long.Attempts, make([]operation.Attempt, 300)...)
	negative := wholeOperation()
	negative.Version, negative.MaxAttempts, negative.Attempted, negative.Seq = -1, -25, -70000, -1<<40
	negative.Attempts[0].EndedAt = negative.Attempts[0].StartedAt.Add(-time.Hour)
	ofRequest := wholeOperation()
	ofRequest.Attempts[0].TraceID = ofRequest.TraceParent[3:35]
	odd := wholeOperation()
	odd.TraceParent = strings.ToUpper(odd.TraceParent)
	odd.Key = &operation.Key{Fingerprint: "without a scope"}
	odd.Attempts[0].TraceID, odd.Attempts[1].TraceID = "0g", "abc"
	odd.Attempts[0].Header, odd.Attempts[0].Unapplied = map[string]string{}, []operation.Field{}
	odd.Changes = operation.Changes{"no field": operation.Text("is left out")}
	for name, op := range map[string]operation.Operation{
		"none": none, "whole": wholeOperation(), "long": long, "negative": negative, "of the request": ofRequest, "odd": odd,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, op)
		})
	}
}

func TestForms_AreTheLibrarysWhateverIsInThem(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { check(t, operations().Draw(t, "operation")) })
}

// TestForms_SkipWhatTheyDoNotKnow puts pairs of a later version between those of today.
func TestForms_SkipWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	later := func(v any) map[any]any {
		var m map[any]any
		require.NoError(t, cbor.Unmarshal([]byte(sorted(t, v)), &m))
		maps.Copy(m, map[any]any{
			22: []any{1, []any{"a", nil}, map[any]any{true: []byte("b"), "c": 1.5}}, 23: -1, 63: true, 64: "d", 1 << 40: []byte{},
			-1: nil, -300: 1e300, "name": map[string]int{}, "a longer name of a value": float32(0.1),
		})
		return m
	}
	op := wholeOperation()
	of := endedOf(op)
	whole := later(of)
	whole[1] = later(of.Doc)
	rows := make([]any, len(of.Rows))
	for i, r := range of.Rows {
		rows[i] = later(r)
	}
	whole[7] = rows
	for range 100 { // the order of a plain map is any
		same(t, plain(t, later(docOf(op.Accepted))), decodeDoc, docByTags)
		same(t, plain(t, later(taggedRow(rowOf(op.Attempts[0])))), loggedRow, rowByTags)
		same(t, plain(t, whole), decodeEnded, endedByTags)
	}
	same(t, "\xa2\x0b\x83\x61a\xf5\x61b\x05\x61c", decodeDoc, docByTags) // a name without a value
	got, err := decodeEnded(plain(t, whole))
	require.NoError(t, err)
	op.Key = nil
	require.Equal(t, op, got)
}

// TestForms_ATornOneIsAnError cuts each form everywhere, and makes it longer.
func TestForms_ATornOneIsAnError(t *testing.T) {
	t.Parallel()
	op := wholeOperation()
	for name, form := range map[string]struct {
		whole []byte
		read  func(string) error
	}{
		"doc":  {encodeDoc(op.Accepted), func(s string) error { _, err := decodeDoc(s); return err }},
		"row":  {encodeRow(rowOf(op.Attempts[1])), func(s string) error { _, err := loggedRow(s); return err }},
		"page": {appendEnded(nil, &op), func(s string) error { _, err := decodeEnded(s); return err }},
	} {
		for i := range form.whole {
			require.Error(t, form.read(string(form.whole[:i])), "%s of %d bytes", name, i)
		}
		require.NoError(t, form.read(string(form.whole)))
		require.Error(t, form.read(string(form.whole)+"\x00"), name)
	}
}

// It counts what the process takes, so nothing may run beside it.
func TestForms_TakeNoMemoryForWhatIsOnlyClaimed(t *testing.T) {
	const claimed = "\x9b\x00\x00\x00\x00\xff\xff\xff\xff" // values of an array
	filled := "\x9a\x00\x01\x00\x00" + strings.Repeat("\xff", 1<<16)
	for _, s := range []string{
		"\xa1\x0b" + claimed, "\xa1\x07" + claimed, "\xa1\x08" + claimed, "\xa1\x07\xbb" + claimed[1:], "\xa1\x05\x7b" + claimed[1:],
		"\xa1\x0b" + filled, "\xa1\x07" + filled, "\xa1\x08" + filled, "\xa1\x07\xba\x00\x00\x80\x00" + filled[5:],
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = decodeDoc(s)
		_, _ = loggedRow(s)
		_, _ = decodeEnded(s)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<19))
	}
	_, err := decodePage([]byte("\x01\xff\xff\xff\xff\x0f\x00"))
	require.ErrorIs(t, err, errPage)
}

// FuzzForms: what we read of any bytes is what the library reads. We refuse more.
func FuzzForms(f *testing.F) {
	op := wholeOperation()
	f.Add(encodeDoc(op.Accepted))
	f.Add(encodeRow(rowOf(op.Attempts[1])))
	f.Add(appendEnded(nil, &op))
	f.Add([]byte("\xa2\x05\x61a\x18\x40\x82\xf9\x00\x00\xa1\x20\xf7"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := string(b)
		if tooDeep(s) {
			return
		}
		if got, err := decodeDoc(s); err == nil {
			want, err := docByTags(s)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		if got, err := loggedRow(s); err == nil && !strings.HasPrefix(s, "{") {
			want, err := rowByTags(s)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		if got, err := decodeEnded(s); err == nil {
			want, err := endedByTags(s)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	})
}

// tooDeep reports whether something is nested deeper than the library reads. We skip
// it at any depth.
func tooDeep(s string) bool {
	var deep *cbor.MaxNestedLevelError
	return errors.As(cbor.Wellformed([]byte(s)), &deep)
}

// operations draws what can be in a record.
func operations() *rapid.Generator[operation.Operation] {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringN(250, 260, -1))
	id := rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) uuid.UUID { return uuid.UUID(b) })
	someID := rapid.OneOf(rapid.Just(uuid.Nil), id)
	at := rapid.Map(rapid.Int64Range(-1<<50, 1<<50), micro)
	value := rapid.OneOf(
		rapid.Just(operation.Null()), rapid.Map(text, operation.Text), rapid.Map(rapid.Bool(), operation.Flag),
	)
	field := rapid.Custom(func(t *rapid.T) operation.Field {
		return operation.UserFields[rapid.IntRange(0, len(operation.UserFields)-1).Draw(t, "field")].Name
	})
	traceID := rapid.OneOf(rapid.StringMatching("[0-9a-f]{32}"), rapid.Just("0af7651916cd43dd8448eb211c80319c"), text)
	traceParent := rapid.OneOf(
		rapid.StringMatching("00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-0[01]"), rapid.StringMatching("[0-9a-fA-Fg]{2}-[0-9a-f]{32}-[0-9a-f]{16}-01"), text,
	)
	attempt := rapid.Custom(func(t *rapid.T) operation.Attempt {
		return operation.Attempt{
			ID: id.Draw(t, "id"), StartedAt: at.Draw(t, "start"), EndedAt: at.Draw(t, "end"),
			Status:    rapid.SampledFrom([]operation.AttemptStatus{operation.AttemptSucceeded, operation.AttemptFailed}).Draw(t, "status"),
			ErrorType: operation.ErrorType(text.Draw(t, "type")), Detail: text.Draw(t, "detail"), StatusCode: rapid.Int().Draw(t, "code"),
			Header:  rapid.OneOf(rapid.MapOf(text, text), rapid.Just(map[string]string(nil))).Draw(t, "header"),
			Unknown: rapid.Bool().Draw(t, "unknown"), Unapplied: rapid.SliceOf(field).Draw(t, "unapplied"), TraceID: traceID.Draw(t, "trace"),
		}
	})
	return rapid.Custom(func(t *rapid.T) operation.Operation {
		a := operation.Accepted{
			Version: rapid.Int().Draw(t, "version"), ID: id.Draw(t, "id"), PartnerID: someID.Draw(t, "partner"), ConnectionID: id.Draw(t, "connection"),
			FleetRef: text.Draw(t, "fleet"), Provider: text.Draw(t, "provider"), Resource: text.Draw(t, "resource"),
			ResourceID: someID.Draw(t, "resource id"), SourceID: text.Draw(t, "source"), Type: operation.Type(text.Draw(t, "type")),
			Changes: rapid.MapOf(field, value).Draw(t, "changes"), Sync: rapid.Bool().Draw(t, "sync"), MaxAttempts: rapid.Int().Draw(t, "most"),
			RetryOf: rapid.Ptr(id, true).Draw(t, "retry of"), Origin: rapid.Ptr(id, true).Draw(t, "origin"),
			TraceParent: traceParent.Draw(t, "trace parent"), TraceState: text.Draw(t, "trace state"),
		}
		if rapid.Bool().Draw(t, "with a key") {
			a.Key = &operation.Key{Scope: text.Draw(t, "scope"), Fingerprint: text.Draw(t, "fingerprint")}
		}
		attempts := rapid.SliceOfN(attempt, 0, 4).Draw(t, "attempts")
		return operation.Operation{
			Accepted: a, Place: operation.Place{Seq: at.Draw(t, "seq").UnixMicro(), Deadline: at.Draw(t, "deadline")}, UpdatedAt: at.Draw(t, "updated"),
			Status:   rapid.SampledFrom([]operation.Status{operation.Succeeded, operation.Failed}).Draw(t, "status"),
			Attempts: attempts, Attempted: rapid.OneOf(rapid.Just(len(attempts)), rapid.Int()).Draw(t, "attempted"),
		}
	})
}

// BenchmarkStepCodec writes and reads the forms of the records.
func BenchmarkStepCodec(b *testing.B) {
	op := wholeOperation()
	step := func(name string, do func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	doc, row, page := string(encodeDoc(op.Accepted)), "k"+op.Attempts[1].ID.String()+string(encodeRow(rowOf(op.Attempts[1]))), encodePage(op)
	step("encode/doc", func() error { encodeDoc(op.Accepted); return nil })
	step("encode/row", func() error { encodeRow(rowOf(op.Attempts[1])); return nil })
	step("encode/page", func() error { encodePage(op); return nil })
	step("decode/doc", func() error { _, err := decodeDoc(doc); return err })
	step("decode/row", func() error { _, err := decodeRow(row, op.ID); return err })
	step("decode/page", func() error { _, err := decodePage(page); return err })
}
