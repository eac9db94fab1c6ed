package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// The headers that carry signatures.
const (
	HeaderSignature = "X-Catena-Signature"
	HeaderTimestamp = "X-Catena-Timestamp"

	// Those of the Standard Webhooks specification.
	HeaderStandardID        = "webhook-id"
	HeaderStandardTimestamp = "webhook-timestamp"
	HeaderStandardSignature = "webhook-signature"
)

// standardPrefix starts a secret that is base64 in the Standard Webhooks scheme.
const standardPrefix = "whsec_"

// Sign gives the value of X-Catena-Signature: base64 of the HMAC-SHA256 over the
// text of X-Catena-Timestamp, a dot and the body before compression. The key is the
// secret's own bytes.
func Sign(secret, timestamp string, body []byte) string {
	return mac([]byte(secret), timestamp, ".", body)
}

// SignStandard gives one element of webhook-signature, "v1,<base64>". The key is
// what follows whsec_ decoded from base64, or, for a secret without that prefix, the
// secret's own bytes.
func SignStandard(secret, id string, at time.Time, body []byte) string {
	return "v1," + mac(standardKey(secret), id+"."+strconv.FormatInt(at.Unix(), 10), ".", body)
}

func standardKey(secret string) []byte {
	if rest, ok := strings.CutPrefix(secret, standardPrefix); ok {
		if key, err := base64.StdEncoding.DecodeString(rest); err == nil && len(key) > 0 {
			return key
		}
	}
	return []byte(secret)
}

func mac(key []byte, head, dot string, body []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(head))
	h.Write([]byte(dot))
	h.Write(body)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}
