package httpapi

import (
	"context"
	"net/http"
	"net/url"
)

type shownKey struct{}

// shown is what a caller may have written anything into.
type shown struct {
	url   *url.URL
	agent string
}

// addressHidden takes path, query and agent off a request before its span is made,
// and keeps them in the context: a span holds them as they came. The route that is
// found later says what the span needs.
func addressHidden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := shown{url: r.URL, agent: r.Header.Get("User-Agent")}
		bare := r.WithContext(context.WithValue(r.Context(), shownKey{}, held))
		bare.URL = &url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host}
		bare.Header = r.Header.Clone()
		bare.Header.Del("User-Agent")
		next.ServeHTTP(w, bare)
	})
}

// addressShown puts back what addressHidden took.
func addressShown(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if held, ok := r.Context().Value(shownKey{}).(shown); ok {
			whole := r.WithContext(r.Context())
			whole.URL = held.url
			if held.agent != "" {
				whole.Header.Set("User-Agent", held.agent)
			}
			r = whole
		}
		next.ServeHTTP(w, r)
	})
}
