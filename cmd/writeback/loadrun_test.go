package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// TestLoadRun_CountsRefusalsByReason: a refusal may name its operation.
func TestLoadRun_CountsRefusalsByReason(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintf(w, `{"code":503,"message":"Service Unavailable","detail":"read operation %s"}`, uuid.Must(uuid.NewV7()))
	}))
	t.Cleanup(s.Close)
	api := &partnerAPI{base: s.URL, client: s.Client(), token: "t"}
	r := newLoadRun(api, uuid.New(), []uuid.UUID{uuid.New()}, loading{count: 3})
	for n := range 3 {
		_, accepted := r.write(t.Context(), n, time.Now())
		require.False(t, accepted)
	}
	require.Equal(t, map[string]int{"the API answered 503: read operation ID": 3}, r.refused)
}
