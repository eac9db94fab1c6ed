package appendjson_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/internal/appendjson"
)

// texts draws from all bytes, whole characters, and what JSON or a page makes special.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.StringOf(rapid.SampledFrom([]rune("a\"\\/<>&'\x00\b\f\n\r\t\x1f\x7f\u0080é東🚚\u2027\u2028\u2029\ufffd\uffff"))),
	)
}

// plain is encoding/json without the escapes meant for HTML pages.
func plain(t require.TestingT, v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	require.NoError(t, e.Encode(v))
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func html(t require.TestingT, v any) string {
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

func TestText_IsWhatEncodingJSONGives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := texts().Draw(t, "text")
		require.Equal(t, "before "+html(t, text), string(appendjson.Text([]byte("before "), text)))
		require.Equal(t, "before "+plain(t, text), string(appendjson.PlainText([]byte("before "), text)))
	})
}

// TestText_EveryByte looks at each byte alone, and after the first of a longer character.
func TestText_EveryByte(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for _, text := range []string{string([]byte{byte(c)}), string([]byte{0xe2, byte(c)}), string([]byte{0xe2, 0x80, byte(c)})} {
			require.Equal(t, html(t, text), string(appendjson.Text(nil, text)))
			require.Equal(t, plain(t, text), string(appendjson.PlainText(nil, text)))
		}
	}
}

func TestMap_IsWhatEncodingJSONGives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.OneOf(rapid.MapOf(texts(), texts()), rapid.Just(map[string]string(nil))).Draw(t, "map")
		require.Equal(t, html(t, m), string(appendjson.Map(nil, m, appendjson.Text, appendjson.Text)))
		require.Equal(t, plain(t, m), string(appendjson.Map(nil, m, appendjson.PlainText, appendjson.PlainText)))
	})
}

func TestID_IsWhatEncodingJSONGives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		require.Equal(t, html(t, id), string(appendjson.ID(nil, id)))
	})
}
