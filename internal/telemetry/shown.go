package telemetry

import (
	"encoding"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// shown is what a log line shows of a value, by its type: numbers, texts, times and
// ids as they are, durations with their unit, errors without the paths and queries of URLs, and of everything
// that was not made to be logged (bodies, headers, requests, records of people) its
// type only. A type that has more to show says so by slog.LogValuer.
func shown(v slog.Value) slog.Value {
	v = v.Resolve()
	switch v.Kind() {
	case slog.KindAny:
	case slog.KindDuration: // a number would not tell its unit
		return slog.StringValue(v.Duration().String())
	default:
		return v
	}
	switch x := v.Any().(type) {
	case nil:
		return v
	case error:
		return slog.StringValue(errorText(x))
	case []byte:
		return slog.StringValue(fmt.Sprintf("[%d bytes]", len(x)))
	case url.URL:
		return slog.StringValue(origin(&x))
	case *url.URL:
		return slog.StringValue(origin(x))
	case http.Header, *http.Request, *http.Response:
		return hidden(x)
	case encoding.TextMarshaler:
		return textOf(v, x)
	case fmt.Stringer:
		return textOf(v, nil)
	default:
		return plainly(v, x)
	}
}

// textOf shows a text that a type has of itself. A nil pointer has none.
func textOf(v slog.Value, m encoding.TextMarshaler) slog.Value {
	if r := reflect.ValueOf(v.Any()); r.Kind() == reflect.Pointer && r.IsNil() {
		return slog.AnyValue(nil)
	}
	if m == nil {
		return slog.StringValue(v.Any().(fmt.Stringer).String())
	}
	text, err := m.MarshalText()
	if err != nil {
		return hidden(m)
	}
	return slog.StringValue(string(text))
}

func hidden(x any) slog.Value { return slog.StringValue(fmt.Sprintf("[%T]", x)) }

// plainly shows numbers, texts, truth values, and lists and maps of them.
func plainly(v slog.Value, x any) slog.Value {
	t := reflect.TypeOf(x)
	if plain(t) {
		return v
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		if plain(t.Elem()) && t.Elem().Kind() != reflect.Uint8 {
			return v
		}
	case reflect.Map:
		if plain(t.Key()) && plain(t.Elem()) {
			return v
		}
	}
	return hidden(x)
}

func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	}
	return t == reflect.TypeFor[time.Time]()
}

// errorText is an error's text. Each URL in it is cut to its origin: path and query may
// hold keys and personal data.
func errorText(err error) string {
	text := err.Error()
	for _, whole := range urlsOf(err, nil) {
		text = strings.ReplaceAll(text, whole, cut(whole))
	}
	return someURL.ReplaceAllStringFunc(text, cut)
}

// urlsOf adds the URLs that errors say they are of. They may have any character in them.
func urlsOf(err error, all []string) []string {
	if u, ok := err.(*url.Error); ok && u.URL != "" { //nolint:errorlint // each of the tree is looked at
		all = append(all, u.URL)
	}
	switch e := err.(type) { //nolint:errorlint // the same
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			all = urlsOf(inner, all)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			all = urlsOf(inner, all)
		}
	}
	return all
}

// someURL finds the URLs in a text.
var someURL = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>` + "`" + `]+`)

// cut is a URL's origin, with the marks that a sentence puts after it.
func cut(whole string) string {
	bare := strings.TrimRight(whole, ".,:;!?)]}")
	parsed, err := url.Parse(bare)
	if err != nil {
		return "[url]"
	}
	return origin(parsed) + whole[len(bare):]
}

func origin(u *url.URL) string {
	if u == nil {
		return ""
	}
	if u.Host == "" {
		return "[url]"
	}
	return u.Scheme + "://" + u.Host
}
