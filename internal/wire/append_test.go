package wire_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
)

// texts are what a text may have in it.
var texts = []string{
	"", "plain", "O'Brien & <sons>", `a "quoted" \ one`, "line\nbreak\ttab\r\b\f\x00\x1f\x7f", "García 東京 🚚", "\u2028\u2029", "broken \xff",
}

// fill puts something into every field of a value, or leaves out what may be absent: a
// field that is new is filled too.
func fill(v reflect.Value, dice *rand.Rand) {
	switch v.Interface().(type) {
	case time.Time:
		at := time.UnixMicro(dice.Int64N(1 << 52)).UTC()
		if dice.IntN(2) == 0 {
			at = at.Truncate(time.Second)
		}
		v.Set(reflect.ValueOf(at))
		return
	case uuid.UUID:
		for i := range v.Len() {
			v.Index(i).SetUint(dice.Uint64N(256))
		}
		return
	case json.RawMessage:
		v.SetBytes([]byte(`{"notes":"<a> & \"b\"` + "\u2028" + `","is_active":false}`))
		return
	case *wire.DryRun: // is written by encoding/json itself
		return
	}
	some := dice.IntN(3) > 0
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), dice)
		}
	case reflect.Pointer:
		if some {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), dice)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), dice.IntN(4), 4))
		for i := range v.Len() {
			fill(v.Index(i), dice)
		}
	case reflect.Map:
		if some {
			v.Set(reflect.ValueOf(map[string]string{}))
			for range dice.IntN(4) {
				v.SetMapIndex(reflect.ValueOf(texts[dice.IntN(len(texts))]), reflect.ValueOf(texts[dice.IntN(len(texts))]))
			}
		}
	case reflect.String:
		v.SetString(texts[dice.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(some)
	case reflect.Int:
		v.SetInt(dice.Int64N(1000) - 500)
	default:
		panic("a kind that this test cannot fill: " + v.Kind().String())
	}
}

// TestAppendJSON_IsWhatEncodingJSONGives: byte for byte, whatever is in a view.
func TestAppendJSON_IsWhatEncodingJSONGives(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		for _, view := range []any{&wire.ResourceOperation{}, &wire.ResourceOperationRead{}, &wire.Page[wire.ResourceOperationRead]{}} {
			fill(reflect.ValueOf(view).Elem(), dice)
			v := reflect.ValueOf(view).Elem().Interface()
			var want bytes.Buffer
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			require.NoError(t, enc.Encode(v))
			got, err := wire.AppendJSON([]byte("before "), v)
			require.NoError(t, err)
			require.Equal(t, "before "+want.String(), string(got)+"\n")
		}
	}
}

func TestAppendJSON_AnythingElse(t *testing.T) {
	t.Parallel()
	got, err := wire.AppendJSON([]byte("x"), wire.SimpleError{Code: 404, Message: "<no>"})
	require.NoError(t, err)
	require.Equal(t, `x{"code":404,"message":"<no>","detail":null}`, string(got))
	got, err = wire.AppendJSON([]byte("x"), func() {})
	require.Error(t, err)
	require.Equal(t, "x", string(got))
	dry, err := wire.AppendJSON(nil, wire.DryRunView(pending(), nil))
	require.NoError(t, err)
	require.Contains(t, string(dry), `"dry_run":{"requests":[]}`)
}
