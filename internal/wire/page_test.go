package wire_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

var window = time.Date(2026, time.March, 1, 0, 0, 0, 1000, time.UTC)

func someCursor() wire.Cursor {
	return wire.Cursor{
		Kind: wire.KindOperations, Filter: "abc", Position: operation.Position{Seq: 17, ID: id(1)}, Name: "kim",
		Backwards: true, From: window, To: window.Add(time.Hour),
	}
}

func TestCursors_RoundTrip(t *testing.T) {
	t.Parallel()
	c := wire.NewCursors([]byte("key"))
	for _, want := range []wire.Cursor{{}, {Kind: wire.KindUsers}, someCursor(), {From: time.UnixMicro(0).UTC()}} {
		s := c.Encode(want)
		require.Equal(t, s, url.QueryEscape(s), "not URL-safe")
		got, err := c.Decode(s)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestCursors_RefuseWhatTheyDidNotGive(t *testing.T) {
	t.Parallel()
	c := wire.NewCursors([]byte("key"))
	good := c.Encode(someCursor())
	cases := map[string]string{
		"empty":         "",
		"not base64":    "!!!",
		"short":         good[:20],
		"one cut":       good[:len(good)-1],
		"newline":       good[:10] + "\n" + good[10:],
		"padded":        good + "=",
		"longer":        good + "A",
		"very long":     strings.Repeat("A", 1<<20),
		"other key":     wire.NewCursors([]byte("other")).Encode(someCursor()),
		"random key":    wire.NewCursors(nil).Encode(someCursor()),
		"raw key signs": "AXt9AAAAAAAAAAAAAAAAAAAAAAA",
	}
	for i := range good {
		swap := byte('A')
		if good[i] == 'A' {
			swap = 'B'
		}
		cases["changed at "+good[:i]] = good[:i] + string(swap) + good[i+1:]
	}
	for name, s := range cases {
		_, err := c.Decode(s)
		require.Error(t, err, name)
		require.Equal(t, operation.CodeBadRequest, asError(t, err).Code, name)
	}
}

// TestCursors_TellNothing: a cursor stands in URLs, and so in the access logs of others.
func TestCursors_TellNothing(t *testing.T) {
	t.Parallel()
	c := wire.NewCursors([]byte("key"))
	raw, err := base64.RawURLEncoding.DecodeString(c.Encode(wire.Cursor{Kind: wire.KindUsers, Name: "Lovelace", Filter: "abc"}))
	require.NoError(t, err)
	for _, inside := range []string{"Lovelace", "abc", wire.KindUsers} {
		require.NotContains(t, string(raw), inside)
	}
}

// TestCursors_RefuseTheFormBefore: version 1 was signed, and in clear.
func TestCursors_RefuseTheFormBefore(t *testing.T) {
	t.Parallel()
	derive := hmac.New(sha256.New, []byte("key"))
	derive.Write([]byte("writeback cursor v1"))
	raw := []byte("\x01" + `{"k":"users","i":"00000000-0000-0000-0000-000000000000"}`)
	sign := hmac.New(sha256.New, derive.Sum(nil))
	sign.Write(raw)
	old := base64.RawURLEncoding.EncodeToString(append(raw, sign.Sum(nil)[:16]...))
	_, err := wire.NewCursors([]byte("key")).Decode(old)
	require.Equal(t, operation.CodeBadRequest, asError(t, err).Code)
}

// TestNewCursors_WithoutASecret: the key is random, and no constant that anybody could know.
func TestNewCursors_WithoutASecret(t *testing.T) {
	t.Parallel()
	one, other := wire.NewCursors(nil), wire.NewCursors(nil)
	cursor := one.Encode(someCursor())
	got, err := one.Decode(cursor)
	require.NoError(t, err)
	require.Equal(t, someCursor(), got)
	_, err = other.Decode(cursor)
	require.Error(t, err)
	_, err = one.Decode(one.Encode(wire.Cursor{Kind: wire.KindUsers, Name: strings.Repeat("x", 64<<10)}))
	require.Error(t, err, "no work is done on a text of any length")
}

func TestCursor_Apply(t *testing.T) {
	t.Parallel()
	q := operation.Query{Provider: "samsara", Limit: 5, From: window.Add(time.Minute), To: window.Add(time.Minute)}
	someCursor().Apply(&q)
	require.Equal(t, operation.Query{
		Provider: "samsara", Limit: 5, From: window, To: window.Add(time.Hour),
		Position: operation.Position{Seq: 17, ID: id(1)}, Backwards: true,
	}, q)
}

func TestFilterHash(t *testing.T) {
	t.Parallel()
	hash := func(kind, query string) string {
		q, err := url.ParseQuery(query)
		require.NoError(t, err)
		return wire.FilterHash(kind, q)
	}
	base := hash(wire.KindOperations, "fleet_refs=a&fleet_refs=b&source_name=samsara")
	require.Equal(t, base, hash(wire.KindOperations, "source_name=samsara&fleet_refs=b&fleet_refs=a&size=3&cursor=x&other=1"))
	for _, other := range []string{
		"", "fleet_refs=a&source_name=samsara", "fleet_refs=ab&source_name=samsara", "fleet_refs=a&fleet_refs=b&source_name=motive",
		"fleet_refs=a&fleet_refs=b&source_name=samsara&from_datetime=2026-01-01T00:00:00Z",
	} {
		require.NotEqual(t, base, hash(wire.KindOperations, other), other)
	}
	const upper, lower = "00000000-0000-7000-8000-0000000000C1", "00000000-0000-7000-8000-0000000000c1"
	for kind, same := range map[string][2]string{
		wire.KindOperations:  {"connection_id=" + upper + "&from_datetime=2026-01-01T01:00:00%2B01:00", "connection_id=" + lower + "&from_datetime=2026-01-01T00:00:00.000Z"},
		wire.KindUsers:       {"user_ids=" + upper + "&fleet_ids=" + lower + "&is_driver=1", "user_ids=" + lower + "&fleet_ids=" + upper + "&is_driver=TRUE"},
		wire.KindConnections: {"tsp_id=" + upper, "tsp_id=" + lower},
		wire.KindWebhookLogs: {"webhook_id=" + upper + "&start_date=2026-01-01T01:00:00%2B01:00&end_date=2026-01-02t00:00:00z", "webhook_id=" + lower + "&start_date=2026-01-01T00:00:00Z&end_date=2026-01-02T00:00:00.0Z"},
	} {
		require.Equal(t, hash(kind, same[0]), hash(kind, same[1]), "what selects the same is the same")
	}
	require.NotEqual(t, hash(wire.KindOperations, "source_id=A"), hash(wire.KindOperations, "source_id=a"))
	require.NotEqual(t, hash(wire.KindUsers, "sort_order=desc"), hash(wire.KindUsers, "sort_order=asc"))
}

func FuzzCursor(f *testing.F) {
	c := wire.NewCursors([]byte("key"))
	good := c.Encode(someCursor())
	f.Add(good, wire.KindOperations, "f", "name", int64(1), []byte("0123456789abcdef"), true, int64(5), uint(3), byte(1))
	f.Add("", "", "", "", int64(0), []byte{}, false, int64(0), uint(0), byte(0))
	f.Add(good[:len(good)-1], "k", "\n", "é\u2028", int64(-1), []byte{1}, false, int64(-5), uint(1000), byte(128))
	f.Fuzz(func(t *testing.T, text, kind, filter, name string, seq int64, raw []byte, back bool, micros int64, at uint, flip byte) {
		// Text from outside is taken only in the one form that Encode gives.
		if _, err := c.Decode(text); err == nil {
			raw, err := base64.RawURLEncoding.DecodeString(text)
			require.NoError(t, err)
			require.Equal(t, text, base64.RawURLEncoding.EncodeToString(raw))
		}
		if !utf8.ValidString(kind) || !utf8.ValidString(filter) || !utf8.ValidString(name) || len(kind)+len(filter)+len(name) > 1000 {
			return
		}
		want := wire.Cursor{Kind: kind, Filter: filter, Name: name, Backwards: back, Position: operation.Position{Seq: seq}}
		if u, err := uuid.FromBytes(raw); err == nil {
			want.Position.ID = u
		}
		if micros %= 1 << 52; micros != 0 {
			want.From = time.UnixMicro(micros).UTC()
		}
		s := c.Encode(want)
		got, err := c.Decode(s)
		require.NoError(t, err)
		require.Equal(t, want, got)
		// No change of a cursor is taken.
		if i := int(at % uint(len(s))); flip != 0 {
			changed := []byte(s)
			changed[i] ^= flip
			_, err := c.Decode(string(changed))
			require.Error(t, err)
		}
	})
}
