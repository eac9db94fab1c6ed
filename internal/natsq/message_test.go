package natsq_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/internal/natsq"
	"writeback/pkg/operation"
)

func encode(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return raw
}

func TestDecode_Versions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		version    int
		understood bool
	}{
		{"the present one", operation.Version, true},
		{"the one before", operation.Version - 1, true},
		{"older", operation.Version - 2, false},
		{"newer", operation.Version + 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, e := message(1), event(operation.EventFailed, 1)
			m.Version, e.Version = tc.version, tc.version
			gotMessage, messageErr := natsq.DecodeMessage(encode(t, m))
			gotEvent, eventErr := natsq.DecodeEvent(encode(t, e))
			if tc.understood {
				require.NoError(t, messageErr)
				require.NoError(t, eventErr)
				require.Equal(t, m, gotMessage)
				require.Equal(t, e, gotEvent)
				return
			}
			require.ErrorIs(t, messageErr, natsq.ErrNotUnderstood)
			require.ErrorIs(t, eventErr, natsq.ErrNotUnderstood)
			require.ErrorContains(t, messageErr, fmt.Sprintf("version %d", tc.version))
			require.Zero(t, gotMessage)
			require.Zero(t, gotEvent)
		})
	}
}

// TestDecode_GivesWhatWasAppended: texts come back as they were, and what is absent
// stays absent.
func TestDecode_GivesWhatWasAppended(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("a\"\\<>&\x00\n\x7f東🚚\u2028\u2029\ufffd"))))
	value := rapid.OneOf(rapid.Just(operation.Null()), rapid.Map(text, operation.Text), rapid.Map(rapid.Bool(), operation.Flag))
	changes := rapid.OneOf(
		rapid.Just(operation.Changes(nil)), rapid.Map(rapid.MapOf(text, value), func(drawn map[string]operation.Value) operation.Changes {
			c := operation.Changes{}
			for name, v := range drawn {
				c[operation.Field(name)] = v
			}
			return c
		}),
	)
	header := rapid.OneOf(rapid.Just(map[string]string(nil)), rapid.MapOfN(text, text, 1, 3))
	rapid.Check(t, func(t *rapid.T) {
		m, e := message(1), event(operation.EventAttempted, 1)
		m.FleetRef, m.Provider, m.TraceState = text.Draw(t, "fleet"), text.Draw(t, "provider"), text.Draw(t, "trace state")
		m.Changes = changes.Draw(t, "changes")
		m.Sync, m.MaxAttempts = rapid.Bool().Draw(t, "sync"), rapid.Int().Draw(t, "attempts")
		if rapid.Bool().Draw(t, "a retry") {
			m.RetryOf, m.Origin = &uuid.UUID{15: 1}, &uuid.UUID{15: 2}
			m.Key = &operation.Key{Scope: text.Draw(t, "scope"), Fingerprint: text.Draw(t, "fingerprint")}
		}
		data, err := m.AppendJSON(nil)
		require.NoError(t, err)
		gotMessage, err := natsq.DecodeMessage(data)
		require.NoError(t, err)
		require.Equal(t, m, gotMessage)

		e.Operation.Accepted, e.FirstRow = m.Accepted, rapid.IntRange(0, 2).Draw(t, "first row")
		e.Operation.Attempts[0].Detail, e.Operation.Attempts[0].Header = text.Draw(t, "detail"), header.Draw(t, "header")
		if rapid.Bool().Draw(t, "waits") {
			e.NextAt = e.Operation.UpdatedAt.Add(time.Nanosecond)
			e.Operation.Attempts[0].Unapplied = []operation.Field{operation.FieldNotes, operation.FieldDOTID}
		}
		data, err = e.AppendJSON(nil)
		require.NoError(t, err)
		gotEvent, err := natsq.DecodeEvent(data)
		require.NoError(t, err)
		require.Equal(t, e, gotEvent)
	})
}

// TestDecode_FieldsOfANewerProgram: within a version fields may be added.
func TestDecode_FieldsOfANewerProgram(t *testing.T) {
	t.Parallel()
	raw := encode(t, message(1))
	m, err := natsq.DecodeMessage(append(raw[:len(raw)-1], `,"added_later":{"x":[1]}}`...))
	require.NoError(t, err)
	require.Equal(t, message(1), m)
}

func TestDecodeMessage_Refuses(t *testing.T) {
	t.Parallel()
	changed := func(change func(*operation.Message)) []byte {
		m := message(1)
		change(&m)
		return encode(t, m)
	}
	for name, data := range map[string][]byte{
		"nothing":                     nil,
		"no JSON":                     []byte("hello"),
		"half a message":              encode(t, message(1))[:40],
		"two messages":                append(encode(t, message(1)), encode(t, message(2))...),
		"null":                        []byte("null"),
		"a list":                      []byte("[]"),
		"an empty object":             []byte("{}"),
		"a wrong type":                []byte(`{"v":"1"}`),
		"a number as a field's value": []byte(`{"changes":{"notes":1}}`),
		"no operation":                changed(func(m *operation.Message) { m.ID = uuid.Nil }),
		"no partner":                  changed(func(m *operation.Message) { m.PartnerID = uuid.Nil }),
		"no connection":               changed(func(m *operation.Message) { m.ConnectionID = uuid.Nil }),
		"no place":                    changed(func(m *operation.Message) { m.Seq = 0 }),
		"a place below":               changed(func(m *operation.Message) { m.Seq = -1 }),
		"no deadline":                 changed(func(m *operation.Message) { m.Deadline = time.Time{} }),
		"no type":                     changed(func(m *operation.Message) { m.Type = "" }),
		"an unknown type":             changed(func(m *operation.Message) { m.Type = "delete" }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := natsq.DecodeMessage(data)
			require.ErrorIs(t, err, natsq.ErrNotUnderstood)
			require.Zero(t, m)
		})
	}
}

func TestDecodeEvent_Refuses(t *testing.T) {
	t.Parallel()
	changed := func(change func(*operation.Event)) []byte {
		e := event(operation.EventFailed, 1)
		change(&e)
		return encode(t, e)
	}
	for name, data := range map[string][]byte{
		"nothing":         nil,
		"no JSON":         []byte("hello"),
		"an empty object": []byte("{}"),
		"a message":       encode(t, message(1)),
		"no operation":    changed(func(e *operation.Event) { e.Operation.ID = uuid.Nil }),
		"no connection":   changed(func(e *operation.Event) { e.Operation.ConnectionID = uuid.Nil }),
		"no place":        changed(func(e *operation.Event) { e.Operation.Seq = 0 }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := natsq.DecodeEvent(data)
			require.ErrorIs(t, err, natsq.ErrNotUnderstood)
			require.Zero(t, e)
		})
	}
}

// FuzzDecodeMessage: whatever arrives is either refused as not understood, or a
// complete operation that reads the same when it is written again.
func FuzzDecodeMessage(f *testing.F) {
	previous := message(2)
	previous.Version--
	newer := message(3)
	newer.Version++
	for _, seed := range [][]byte{
		nil, []byte("null"), []byte("{}"), []byte("poison"), []byte(`{"v":1,"changes":{"notes":1}}`), []byte(`{"v":1e3}`),
		encode(f, message(1)), encode(f, previous), encode(f, newer), encode(f, message(1))[:100],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := natsq.DecodeMessage(data)
		if err != nil {
			require.ErrorIs(t, err, natsq.ErrNotUnderstood)
			require.Zero(t, m)
			return
		}
		require.NotEqual(t, uuid.Nil, m.ID)
		require.NotEqual(t, uuid.Nil, m.ConnectionID)
		require.NotEqual(t, uuid.Nil, m.PartnerID)
		require.Positive(t, m.Seq)
		require.True(t, m.Type.Valid())
		written := encode(t, m)
		appended, err := m.AppendJSON(nil)
		require.NoError(t, err)
		require.Equal(t, string(written), string(appended))
		again, err := natsq.DecodeMessage(written)
		require.NoError(t, err)
		require.Equal(t, string(written), string(encode(t, again)))
	})
}

// FuzzDecodeEvent holds the same for events.
func FuzzDecodeEvent(f *testing.F) {
	previous := event(operation.EventSucceeded, 2)
	previous.Version--
	newer := event(operation.EventFailed, 3)
	newer.Version++
	for _, seed := range [][]byte{
		nil, []byte("null"), []byte("{}"), []byte("poison"), []byte(`{"v":1,"operation":{"attempts":[null]}}`),
		encode(f, event(operation.EventAttempted, 1)), encode(f, previous), encode(f, newer), encode(f, message(1)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := natsq.DecodeEvent(data)
		if err != nil {
			require.ErrorIs(t, err, natsq.ErrNotUnderstood)
			require.Zero(t, e)
			return
		}
		require.NotEqual(t, uuid.Nil, e.Operation.ID)
		require.NotEqual(t, uuid.Nil, e.Operation.ConnectionID)
		require.Positive(t, e.Operation.Seq)
		written := encode(t, e)
		appended, err := e.AppendJSON(nil)
		require.NoError(t, err)
		require.Equal(t, string(written), string(appended))
		again, err := natsq.DecodeEvent(written)
		require.NoError(t, err)
		require.Equal(t, string(written), string(encode(t, again)))
	})
}
