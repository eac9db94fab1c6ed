package httpcall_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/tsp/httpcall"
)

func spentOf(t *testing.T, header map[string]string) time.Duration {
	t.Helper()
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
	})
	answer, err := httpcall.New(httpcall.Config{}).Do(t.Context(), httpcall.Request{Method: http.MethodGet, URL: base})
	require.NoError(t, err)
	return answer.Spent
}

func TestAnswer_Spent(t *testing.T) {
	t.Parallel()
	type h = map[string]string
	for name, tt := range map[string]struct {
		header h
		want   time.Duration
	}{
		"no headers":                   {},
		"budget left":                  {header: h{"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "30"}},
		"part of a call left":          {header: h{"X-RateLimit-Remaining": "0.5", "X-RateLimit-Reset": "30"}},
		"spent":                        {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}, want: 30 * time.Second},
		"spent, standard name":         {header: h{"RateLimit-Remaining": " 0 ", "RateLimit-Reset": " 1.5 "}, want: 1500 * time.Millisecond},
		"spent, dashed name":           {header: h{"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "2"}, want: 2 * time.Second},
		"overdrawn":                    {header: h{"X-RateLimit-Remaining": "-3", "X-RateLimit-Reset": "2"}, want: 2 * time.Second},
		"spent without a time":         {header: h{"X-RateLimit-Remaining": "0"}},
		"time without a budget":        {header: h{"X-RateLimit-Reset": "30"}},
		"garbage budget":               {header: h{"X-RateLimit-Remaining": "none", "X-RateLimit-Reset": "30"}},
		"garbage time":                 {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}},
		"time of zero":                 {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0"}},
		"time before now":              {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "-5"}},
		"not a number":                 {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "NaN"}},
		"longer than the cap":          {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "999999"}, want: httpcall.MaxRetryAfter},
		"longer than any number":       {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1e400"}, want: httpcall.MaxRetryAfter},
		"for ever":                     {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "Inf"}, want: httpcall.MaxRetryAfter},
		"unix time in the past":        {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1500000000"}},
		"date in the past":             {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2020-01-01T00:00:00Z"}},
		"date far away":                {header: h{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2999-01-01T00:00:00Z"}, want: httpcall.MaxRetryAfter},
		"one spent, another is not":    {header: h{"RateLimit-Remaining": "5", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "3"}, want: 3 * time.Second},
		"one unreadable, another read": {header: h{"RateLimit-Remaining": "?", "X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "4"}, want: 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, spentOf(t, tt.header))
		})
	}
}

// What is refused without a Retry-After waits as the rate headers say.
func TestAnswer_RefusalWaitsForTheBudget(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		header map[string]string
		want   time.Duration
	}{
		"budget and time":        {429, map[string]string{"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "30"}, 30 * time.Second},
		"time only":              {429, map[string]string{"X-RateLimit-Reset": "30"}, 30 * time.Second},
		"Retry-After goes first": {429, map[string]string{"Retry-After": "7", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}, 7 * time.Second},
		"another refusal":        {400, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "30"}, 30 * time.Second},
		"time only, not a 429":   {503, map[string]string{"X-RateLimit-Reset": "30"}, 0},
		"a budget that is left":  {429, map[string]string{"RateLimit-Remaining": "3", "RateLimit-Reset": "30"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				for name, value := range tt.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(tt.status)
			})
			answer, err := httpcall.New(httpcall.Config{}).Do(t.Context(), httpcall.Request{Method: http.MethodGet, URL: base})
			require.NoError(t, err)
			require.Equal(t, tt.want, answer.Classify("call", "").RetryAfter)
		})
	}
}

func TestAnswer_SpentUntilATime(t *testing.T) {
	t.Parallel()
	reset := time.Now().Add(10 * time.Minute)
	for _, value := range []string{
		strconv.FormatInt(reset.Unix(), 10), reset.UTC().Format(time.RFC3339), reset.Format("2006-01-02T15:04:05.000-07:00"),
		reset.UTC().Format(http.TimeFormat),
	} {
		got := spentOf(t, map[string]string{"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": value})
		require.Greater(t, got, 5*time.Minute, value)
		require.LessOrEqual(t, got, 10*time.Minute, value)
	}
}
