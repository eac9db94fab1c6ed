package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"writeback/pkg/operation"
)

const (
	idempotencyHeader = "Idempotency-Key"
	maxIdempotencyKey = 255
)

// idempotencyKey hashes the caller's key with the partner, method and path it is
// good for, and the query and body it stands for. Nil without the header. The
// path is the canonical one, so that an id in capitals is the same path. The
// clear key goes no further than here.
func idempotencyKey(r *http.Request, partner uuid.UUID, path string, body []byte) (*operation.Key, error) {
	values := r.Header.Values(idempotencyHeader)
	if len(values) == 0 {
		return nil, nil
	}
	if len(values) > 1 || !visible(values[0]) || len(values[0]) > maxIdempotencyKey {
		return nil, refuse(http.StatusBadRequest,
			"%s must be given once, with 1 to %d visible ASCII characters", idempotencyHeader, maxIdempotencyKey)
	}
	return &operation.Key{
		Scope:       digest(partner.String(), r.Method, path, values[0]),
		Fingerprint: digest(r.URL.Query().Encode(), string(body)),
	}, nil
}

// digest hashes the parts with their lengths, so that no two lists collide.
func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = io.WriteString(h, strconv.Itoa(len(part))+":"+part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func visible(s string) bool {
	for _, c := range []byte(s) {
		if c < '!' || c > '~' {
			return false
		}
	}
	return s != ""
}
