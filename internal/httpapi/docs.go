package httpapi

import (
	"net/http"
	"strconv"
)

// static serves a document that is made once, without a token. The policy is the
// page's Content-Security-Policy. Empty: the usual one, which allows nothing.
func (s *server) static(kind, policy string, body []byte) handler {
	return func(w http.ResponseWriter, _ *http.Request) error {
		h := w.Header()
		if policy != "" {
			h.Set("Content-Security-Policy", policy)
		}
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Type", kind)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		// A reader that has gone away is no fault of ours.
		_, _ = w.Write(body)
		return nil
	}
}
