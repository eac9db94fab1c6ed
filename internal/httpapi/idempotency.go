package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

const (
	idempotencyHeader = "Idempotency-Key"
	headerKey         = "header." + idempotencyHeader
)

// givenKey is a caller's key in clear, and where it was given.
type givenKey struct{ path, key string }

// blamed shows the key in a refusal that is about it: whoever made that knows neither the
// key nor its place.
func (k givenKey) blamed(err error) error {
	var known *operation.Error
	if !errors.As(err, &known) || len(known.Faults) != 1 || known.Faults[0].Path != headerKey {
		return err
	}
	out, fault := *known, known.Faults[0]
	fault.Path, fault.Input = k.path, k.key
	out.Faults = []operation.Fault{fault}
	return &out
}

// hashedKey is a caller's key with the partner, method and path it is good for, and the
// request it stands for. The path is the canonical one, so that an id in capitals is the
// same path. The clear key goes no further than here.
func hashedKey(r *http.Request, key string, partner uuid.UUID, path string, sync bool, body []byte) *operation.Key {
	return &operation.Key{Scope: digest(partner.String(), r.Method, path, key), Fingerprint: fingerprint(sync, body)}
}

// fingerprint is what a key stands for: the mode, in whichever words the query asks for
// it, and the body. The words here are those of keys that took the query as it was, and
// are still in Redis.
func fingerprint(sync bool, body []byte) string {
	mode := ""
	if sync {
		mode = "is_sync=true"
	}
	return digest(mode, string(body))
}

// repeated gives what was accepted under the key of a request that would be refused by
// now: its connection may be paused, its user gone. A key stands for what it stood for. If
// that cannot be found, the refusal holds.
func (s *server) repeated(ctx context.Context, connection uuid.UUID, key *operation.Key, refusal error) (operation.Operation, error) {
	if key == nil {
		return operation.Operation{}, refusal
	}
	op, err := s.deps.Accepter.Repeated(ctx, connection, *key)
	if err != nil {
		return op, refusal
	}
	s.meters.taken(ctx, op.Accepted, true)
	return op, nil
}

// requestKey reads the header. Empty: it is not there.
func requestKey(r *http.Request) (string, error) {
	values := r.Header[idempotencyHeader]
	if len(values) == 0 {
		return "", nil
	}
	key := ""
	if len(values) == 1 {
		key = unquoted(values[0])
	}
	if !wire.ValidKey(key) {
		return "", refuse(http.StatusBadRequest,
			"%s must be given once, with 1 to %d visible ASCII characters", idempotencyHeader, wire.MaxIdempotencyKey)
	}
	return key, nil
}

// unquoted takes the key out of a structured field's string, so that "k" and k are
// the same key. A string that does not end is no key.
func unquoted(s string) string {
	inner, quoted := strings.CutPrefix(s, `"`)
	if !quoted {
		return s
	}
	var key strings.Builder
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '"' && i == len(inner)-1:
			return key.String()
		case c == '"':
			return ""
		case c == '\\':
			i++
			if i == len(inner) || inner[i] != '"' && inner[i] != '\\' {
				return ""
			}
			key.WriteByte(inner[i])
		default:
			key.WriteByte(c)
		}
	}
	return ""
}

// replayed marks the answer as that of an earlier request. A sync one whose call is
// still under way has no outcome to show.
func replayed(w http.ResponseWriter, op operation.Operation) error {
	w.Header().Set("Idempotency-Replayed", "true")
	if !op.Sync || op.Status.Terminal() {
		return nil
	}
	w.Header().Set("Location", placeURL(op))
	return &operation.Error{
		Code: operation.CodeConflict, Message: "operation " + op.ID.String() + " of this key is still being called; read it, or send again later",
	}
}

// digest hashes the parts with their lengths, so that no two lists collide.
func digest(parts ...string) string {
	var text []byte
	for _, part := range parts {
		text = append(append(strconv.AppendInt(text, int64(len(part)), 10), ':'), part...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
