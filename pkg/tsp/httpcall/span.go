package httpcall

import (
	"context"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

// traced wraps a transport for tracing. A client span holds the whole address of a
// call, and some providers want a key, a session or a person's data in the query:
// the span gets the address without it.
func traced(base http.RoundTripper) http.RoundTripper {
	return queryHidden{otelhttp.NewTransport(queryShown{base})}
}

type queryKey struct{}

// queryHidden takes the query off a call and keeps it in the context.
type queryHidden struct{ next http.RoundTripper }

// RoundTrip hands on a copy of the call.
func (h queryHidden) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.RawQuery == "" {
		return h.next.RoundTrip(r)
	}
	return h.next.RoundTrip(withQuery(r.WithContext(context.WithValue(r.Context(), queryKey{}, r.URL.RawQuery)), ""))
}

// queryShown puts the query back for the wire.
type queryShown struct{ next http.RoundTripper }

// RoundTrip hands on a copy of the call.
func (s queryShown) RoundTrip(r *http.Request) (*http.Response, error) {
	query, hidden := r.Context().Value(queryKey{}).(string)
	if !hidden {
		return s.next.RoundTrip(r)
	}
	return s.next.RoundTrip(withQuery(r.WithContext(r.Context()), query))
}

// withQuery changes the query of a request that is a copy already.
func withQuery(r *http.Request, query string) *http.Request {
	u := *r.URL
	u.RawQuery = query
	r.URL = &u
	return r
}
