package operation_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// full is an operation with every field set.
func full() operation.Operation {
	id := func(end string) uuid.UUID { return uuid.MustParse("00000000-0000-7000-8000-0000000000" + end) }
	retryOf, origin := id("0f"), id("0e")
	at := time.Date(2026, 3, 4, 5, 6, 7, 891_234_000, time.UTC)
	return operation.Operation{
		Accepted: operation.Accepted{
			Version: operation.Version, ID: id("01"), PartnerID: id("02"), ConnectionID: id("c1"), FleetRef: "fleet-1",
			Provider: "samsara", Resource: operation.ResourceUser, ResourceID: id("a1"), SourceID: "s-1",
			Type: operation.Update,
			Changes: operation.Changes{
				operation.FieldNotes: operation.Null(), operation.FieldFirstName: operation.Text("Zoë <&>"),
				operation.FieldIsActive: operation.Flag(false),
			},
			Sync: true, MaxAttempts: 3, RetryOf: &retryOf, Origin: &origin,
			Key:         &operation.Key{Scope: "scope-hash", Fingerprint: "body-hash"},
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=b",
		},
		Place:     operation.Place{Seq: at.UnixMicro(), Deadline: at.Add(24 * time.Hour)},
		UpdatedAt: at.Add(time.Second),
		Status:    operation.Failed,
		Attempts: []operation.Attempt{
			{
				ID: id("11"), OperationID: id("01"), StartedAt: at, EndedAt: at.Add(time.Millisecond),
				Status: operation.AttemptFailed, ErrorType: operation.ErrorNetwork, Detail: "No answer.",
				StatusCode: 503, Header: map[string]string{"Retry-After": "5"}, Unknown: true,
				Unapplied: []operation.Field{operation.FieldNotes}, TraceID: "0af7651916cd43dd8448eb211c80319c",
			},
			{ID: id("12"), OperationID: id("01"), StartedAt: at, EndedAt: at, Status: operation.AttemptSucceeded},
		},
		Attempted: 2,
	}
}

// requireNoZero fails for a stored field that the sample leaves at its zero value,
// so that a new field cannot escape the round trip.
func requireNoZero(t *testing.T, v any) {
	t.Helper()
	value := reflect.ValueOf(v)
	for i := range value.NumField() {
		field := value.Type().Field(i)
		if field.Tag.Get("json") != "-" {
			require.False(t, value.Field(i).IsZero(), "%T.%s is not set in the sample", v, field.Name)
		}
	}
}

func roundTrip[T any](t *testing.T, v T) {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	var back T
	require.NoError(t, json.Unmarshal(raw, &back))
	require.Equal(t, v, back)
}

func TestMessage_RoundTrip(t *testing.T) {
	t.Parallel()
	op := full()
	requireNoZero(t, op.Accepted)
	requireNoZero(t, op.Place)
	requireNoZero(t, *op.Key)
	roundTrip(t, operation.Message{Accepted: op.Accepted, Place: op.Place})
	roundTrip(t, operation.Message{})
}

func TestEvent_RoundTrip(t *testing.T) {
	t.Parallel()
	op := full()
	requireNoZero(t, op)
	requireNoZero(t, op.Attempts[0])
	e := operation.Event{
		Version: operation.Version, ID: operation.EventID(op.ID, operation.EventAttempted), Kind: operation.EventAttempted,
		Operation: op, FirstRow: 1, NextAt: op.UpdatedAt.Add(time.Minute), Blocked: op.UpdatedAt.Add(time.Hour),
	}
	requireNoZero(t, e)
	roundTrip(t, e)
	roundTrip(t, operation.Event{})
}

// TestOperation_WaitStaysOut: why an operation waits is true for a moment only.
func TestOperation_WaitStaysOut(t *testing.T) {
	t.Parallel()
	op := full()
	without, err := json.Marshal(op)
	require.NoError(t, err)
	op.Wait = operation.Wait{Reason: operation.WaitBehind, Behind: op.ID, Until: op.UpdatedAt}
	with, err := json.Marshal(op)
	require.NoError(t, err)
	require.Equal(t, string(without), string(with))
}

// TestMessage_ReadsWhatVersion1Wrote: a stream outlives the program that wrote it.
func TestMessage_ReadsWhatVersion1Wrote(t *testing.T) {
	t.Parallel()
	read := func(name string, into any) {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, into))
	}
	op := full()
	op.Version = 1
	// These came later; what was written before reads as none.
	op.Attempts[0].Unapplied, op.Attempts[0].TraceID, op.Origin = nil, "", nil
	var m operation.Message
	read("message_v1.json", &m)
	require.Equal(t, operation.Message{Accepted: op.Accepted, Place: op.Place}, m)

	var e operation.Event
	read("event_v1.json", &e)
	require.Equal(t, operation.Event{
		Version: 1, ID: operation.EventID(op.ID, operation.EventFailed), Kind: operation.EventFailed, Operation: op,
	}, e)
}
