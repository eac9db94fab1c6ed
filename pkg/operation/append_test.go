package operation_test

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/pkg/operation"
)

// What is drawn for the fields: what is special in JSON or in a page is drawn often.
var (
	anyText = rapid.OneOf(
		rapid.Just(""),
		rapid.StringOf(rapid.SampledFrom([]rune("a\"\\<>&'\x00\b\f\n\r\t\x1f\x7fé東🚚\u2028\u2029\ufffd"))),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) }),
	)
	anyID = rapid.OneOf(
		rapid.Just(uuid.Nil),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) uuid.UUID { return uuid.UUID(b) }),
	)
	anyValue = rapid.OneOf(
		rapid.Just(operation.Null()), rapid.Map(anyText, operation.Text), rapid.Map(rapid.Bool(), operation.Flag),
	)
	anyTime = rapid.Custom(func(t *rapid.T) time.Time {
		unit := rapid.SampledFrom([]time.Duration{0, 1, time.Microsecond, time.Millisecond, time.Second}).Draw(t, "unit")
		if unit == 0 {
			return time.Time{}
		}
		zone := rapid.SampledFrom([]int{0, 5*3600 + 1800, -8 * 3600, 23*3600 + 3540, 90}).Draw(t, "zone")
		at := time.Unix(rapid.Int64Range(-50_000_000_000, 200_000_000_000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "rest"))
		return at.Truncate(unit).In(time.FixedZone("", zone))
	})
)

// fill draws every field of a value, so that a field that is new is drawn too.
func fill(t *rapid.T, v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = anyTime.Draw(t, "time")
		return
	case *uuid.UUID:
		*p = anyID.Draw(t, "id")
		return
	case *operation.Value:
		*p = anyValue.Draw(t, "value")
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "set") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		if n := rapid.IntRange(-1, 3).Draw(t, "length"); n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(t, v.Index(i))
			}
		}
	case reflect.Map:
		if n := rapid.SampledFrom([]int{-1, 0, 1, 3, 30}).Draw(t, "length"); n >= 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(t, key)
				fill(t, value)
				v.SetMapIndex(key, value)
			}
		}
	case reflect.String:
		v.SetString(anyText.Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "flag"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(math.MinInt, math.MaxInt)).Draw(t, "number"))
	default:
		t.Fatalf("a kind that this test cannot draw: %s", v.Kind())
	}
}

type appender interface{ AppendJSON([]byte) ([]byte, error) }

// TestAppendJSON_IsWhatEncodingJSONGives: byte for byte, whatever is in it.
func TestAppendJSON_IsWhatEncodingJSONGives(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]func() appender{
		"message": func() appender { return &operation.Message{} },
		"event":   func() appender { return &operation.Event{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				v := body()
				fill(t, reflect.ValueOf(v).Elem())
				want, err := json.Marshal(v)
				require.NoError(t, err)
				got, err := v.AppendJSON([]byte("before "))
				require.NoError(t, err)
				require.Equal(t, "before "+string(want), string(got))
			})
		})
	}
}

// TestAppendJSON_RefusesTimes that encoding/json refuses, wherever they are.
func TestAppendJSON_RefusesTimes(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Time{
		"a year of five digits": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"before the year 0":     time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		"a day east":            time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 24*3600)),
	} {
		message := operation.Message{Place: operation.Place{Deadline: at}}
		for place, v := range map[string]appender{
			"message":  &message,
			"deadline": &operation.Event{Operation: operation.Operation{Place: message.Place}},
			"updated":  &operation.Event{Operation: operation.Operation{UpdatedAt: at}},
			"started":  &operation.Event{Operation: operation.Operation{Attempts: []operation.Attempt{{StartedAt: at}, {}}}},
			"ended":    &operation.Event{Operation: operation.Operation{Attempts: []operation.Attempt{{}, {EndedAt: at}}}},
			"next":     &operation.Event{NextAt: at},
			"blocked":  &operation.Event{Blocked: at},
		} {
			_, err := json.Marshal(v)
			require.Error(t, err, "%s: %s", place, name)
			got, err := v.AppendJSON([]byte("before"))
			require.Error(t, err, "%s: %s", place, name)
			require.Equal(t, "before", string(got))
		}
	}
}

// TestAppendJSON_Allocates nothing where there is room.
func TestAppendJSON_Allocates(t *testing.T) {
	op := full()
	message := operation.Message{Accepted: op.Accepted, Place: op.Place}
	event := operation.Event{Version: operation.Version, ID: op.ID, Kind: operation.EventFailed, Operation: op}
	room := make([]byte, 0, 4096)
	require.Zero(t, testing.AllocsPerRun(10, func() {
		_, _ = message.AppendJSON(room)
		_, _ = event.AppendJSON(room)
	}))
}
