package webhook_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"writeback/pkg/webhook"
)

// A receiver checks the signature, remembers the event's id, answers at once and
// works afterwards.
func Example() {
	const secret = "a-secret-of-ours"
	seen := map[string]bool{} // in earnest: a table with a unique key
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := webhook.ReadBody(r, 1<<20)
		if err != nil {
			http.Error(w, "bad body", http.StatusBadRequest)
			return
		}
		event, err := webhook.Verify([]string{secret}, r.Header, body, time.Now())
		if err != nil {
			http.Error(w, "not from Writeback", http.StatusUnauthorized)
			return
		}
		if !seen[event.ID] {
			seen[event.ID] = true
			fmt.Println(event.EventName, len(event.Data))
		}
		w.WriteHeader(http.StatusAccepted)
	})

	// What Writeback sends, twice.
	body := `{"version":"1.0","id":"01970000-0000-7000-8000-000000000001","event_name":"resource_operation.failed",` +
		`"webhook_id":"01970000-0000-7000-8000-000000000002","data":[{"status":"failed"}]}`
	for range 2 {
		r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
		stamp := time.Now().Format(time.RFC3339)
		r.Header.Set(webhook.HeaderTimestamp, stamp)
		r.Header.Set(webhook.HeaderSignature, webhook.Sign(secret, stamp, []byte(body)))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// resource_operation.failed 1
	// 202
	// 202
}
