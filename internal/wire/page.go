package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

// Page is one page of a list. A nil NextPage ends the walk. Use NewPage, so that
// Items is never null on the wire.
type Page[T any] struct {
	Items                []T     `json:"items"`
	CurrentPage          *string `json:"current_page"`
	CurrentPageBackwards *string `json:"current_page_backwards"`
	PreviousPage         *string `json:"previous_page"`
	NextPage             *string `json:"next_page"`
}

// NewPage is a page of these items, without cursors yet.
func NewPage[T any](items []T) Page[T] {
	if items == nil {
		items = []T{}
	}
	return Page[T]{Items: items}
}

// Kinds of lists, for Cursor.Kind.
const (
	KindOperations  = "operations"
	KindUsers       = "users"
	KindConnections = "connections"
	KindTSPs        = "tsps"
	KindWebhooks    = "webhooks"
	KindWebhookLogs = "webhook_logs"
)

// Cursor is a place in a list and in which direction to go on from there.
type Cursor struct {
	// Kind of the list; see the constants.
	Kind string
	// Filter is the FilterHash of the filters that the cursor belongs to.
	Filter   string
	Position operation.Position
	// Name is the place in lists that are sorted by another key.
	Name      string
	Backwards bool
	// From and To are the window that the first page had, so that its defaults do
	// not move with the clock. To the microsecond; zero if the list has none.
	From, To time.Time
}

// Apply continues the query where the cursor stands, in the cursor's window.
func (c Cursor) Apply(q *operation.Query) {
	q.From, q.To = c.From, c.To
	q.Position, q.Backwards = c.Position, c.Backwards
}

// Cursors writes and reads cursors. A cursor is opaque: a client can neither read one,
// since it stands in URLs and may hold a name, nor make or change one. Two of the same
// place differ. Safe for concurrent use.
type Cursors struct{ box cipher.AEAD }

// NewCursors derives the key from this secret, which all processes that serve the same
// lists share. An empty secret gives a random key, whose cursors only these Cursors can
// read.
func NewCursors(key []byte) *Cursors {
	if len(key) == 0 {
		key = make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails: it ends the program instead
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("writeback cursor v2"))
	block, _ := aes.NewCipher(mac.Sum(nil))       // the sum has the length of a key
	box, _ := cipher.NewGCMWithRandomNonce(block) // AES has the blocks that it needs
	return &Cursors{box: box}
}

// The first byte of what is sealed says what it is, and is sealed with it. Version 1 of
// cursors was signed and in clear.
const (
	cursorVersion = 2
	tailVersion   = 3
)

// maxCursor bounds a cursor's text before any work is done on it. A cursor is as long
// as its Name, which a partner may have made long.
const maxCursor = 64 << 10

// cursorForm is the inside of a cursor. Times are microseconds since 1970.
type cursorForm struct {
	Kind      string    `json:"k"`
	Filter    string    `json:"f,omitempty"`
	Seq       int64     `json:"s,omitempty"`
	ID        uuid.UUID `json:"i,omitzero"`
	Name      string    `json:"n,omitempty"`
	Backwards bool      `json:"b,omitempty"`
	From      *int64    `json:"w,omitempty"`
	To        *int64    `json:"x,omitempty"`
}

// Encode gives the cursor as URL-safe text.
func (c *Cursors) Encode(cursor Cursor) string {
	form := cursorForm{
		Kind: cursor.Kind, Filter: cursor.Filter, Name: cursor.Name, Backwards: cursor.Backwards,
		Seq: cursor.Position.Seq, ID: cursor.Position.ID,
		From: microsOf(cursor.From), To: microsOf(cursor.To),
	}
	inside, err := json.Marshal(form)
	if err != nil {
		return "" // plain values always marshal
	}
	return c.seal(cursorVersion, inside)
}

// Decode reads what Encode gave. The error is an *operation.Error with
// CodeBadRequest, the same for everything that Encode did not give.
func (c *Cursors) Decode(s string) (Cursor, error) {
	var form cursorForm
	inside, ok := c.open(cursorVersion, s)
	if !ok || json.Unmarshal(inside, &form) != nil {
		return Cursor{}, badRequest("the cursor is not one that this API gave")
	}
	return Cursor{
		Kind: form.Kind, Filter: form.Filter, Name: form.Name, Backwards: form.Backwards,
		Position: operation.Position{Seq: form.Seq, ID: form.ID},
		From:     timeOf(form.From), To: timeOf(form.To),
	}, nil
}

// EncodeTail gives a place of the live tail as text. In clear it would tell each partner
// how much all others do.
func (c *Cursors) EncodeTail(place string) string { return c.seal(tailVersion, []byte(place)) }

// DecodeTail reads what EncodeTail gave. The error is an *operation.Error with
// CodeBadRequest.
func (c *Cursors) DecodeTail(s string) (place string, err error) {
	inside, ok := c.open(tailVersion, s)
	if !ok {
		return "", badRequest("the last event id is not one that this API gave")
	}
	return string(inside), nil
}

func (c *Cursors) seal(version byte, inside []byte) string {
	head := []byte{version}
	return base64.RawURLEncoding.EncodeToString(c.box.Seal(head, nil, inside, head))
}

func (c *Cursors) open(version byte, s string) (inside []byte, ok bool) {
	if len(s) > maxCursor {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	// Base64 has spare bits and the decoder skips newlines: only the one text that seal
	// gives for these bytes counts.
	if err != nil || base64.RawURLEncoding.EncodeToString(raw) != s || len(raw) == 0 || raw[0] != version {
		return nil, false
	}
	inside, err = c.box.Open(nil, nil, raw[1:], raw[:1])
	return inside, err == nil
}

// FilterHash is a short hash of a list's filters, which have no faults: everything that
// decides what is in the list and in which order, so not the cursor and not the size.
// Neither the order of repeated values matters, nor in which form one was written.
func FilterHash(kind string, q url.Values) string {
	h := sha256.New()
	for _, name := range filterNames[kind] {
		values := make([]string, 0, len(q[name]))
		for _, v := range q[name] {
			values = append(values, canonical(name, v))
		}
		slices.Sort(values)
		line, _ := json.Marshal(append([]string{name}, values...))
		h.Write(line)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])
}

// canonical gives the one form of a value that may be written in several.
func canonical(name, value string) string {
	p := params{q: url.Values{name: {value}}}
	switch name {
	case "connection_id", "fleet_ids", "user_ids", "tsp_id", "webhook_id":
		return p.uuid(name).String()
	case "is_driver":
		return strconv.FormatBool(p.flag(name))
	case "from_datetime", "to_datetime", "start_date", "end_date":
		return p.time(name).Format(time.RFC3339Nano)
	}
	return value
}

// filterNames are the parameters that belong to a list's filters.
var filterNames = map[string][]string{
	KindOperations: {"resource", "connection_id", "source_name", "fleet_refs", "operation", "source_id", "from_datetime", "to_datetime"},
	KindUsers:      {"is_driver", "fleet_ids", "fleet_refs", "connection_id", "user_ids", "source_ids", "name", "sort_by", "sort_order"},
	KindConnections: {
		"tsp_id", "fleet_ids", "fleet_refs",
	},
	KindWebhooks: {"event_name", "status"},
	// The webhook is part of the path; whoever hashes adds it.
	KindWebhookLogs: {"webhook_id", "start_date", "end_date", "status"},
}

func microsOf(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	n := t.UnixMicro()
	return &n
}

func timeOf(n *int64) time.Time {
	if n == nil {
		return time.Time{}
	}
	return time.UnixMicro(*n).UTC()
}
