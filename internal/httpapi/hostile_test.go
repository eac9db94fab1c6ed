package httpapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// unsized hides the length of a body, so that it is sent in chunks.
type unsized struct{ io.Reader }

func TestUpdateUser_HostileBodies(t *testing.T) {
	t.Parallel()
	good := `{"connection_id":"` + connOne.String() + `","first_name":"Ada"}`
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := io.WriteString(z, good)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	huge := `{"connection_id":"` + connOne.String() + `","notes":"` + strings.Repeat("x", 10<<20) + `"}`
	padded := good + strings.Repeat(" ", DefaultMaxBody-len(good))
	kind := func(v ...string) http.Header { return http.Header{"Content-Type": v} }
	encoding := func(v string) http.Header { return http.Header{"Content-Encoding": {v}} }
	for _, row := range []struct {
		what   string
		body   io.Reader
		header http.Header
		status int
	}{
		{"10 MB", strings.NewReader(huge), nil, 413},
		{"10 MB in chunks", unsized{strings.NewReader(huge)}, nil, 413},
		{"as large as allowed", strings.NewReader(padded), nil, 202},
		{"one byte more", strings.NewReader(padded + " "), nil, 413},
		{"one byte more in chunks", unsized{strings.NewReader(padded + " ")}, nil, 413},
		{"good in chunks", unsized{strings.NewReader(good)}, nil, 202},
		{"gzip", bytes.NewReader(zipped.Bytes()), encoding("gzip"), 415},
		{"gzip unannounced", bytes.NewReader(zipped.Bytes()), nil, 400},
		{"deflate", strings.NewReader(good), encoding("deflate"), 415},
		{"identity", strings.NewReader(good), encoding("identity"), 202},
		{"deep arrays", strings.NewReader(`{"notes":` + strings.Repeat("[", 60_000)), nil, 400},
		{"100,000 deep", strings.NewReader(strings.Repeat(`[`, 100_000)), nil, 413},
		{"deep objects", strings.NewReader(strings.Repeat(`{"a":`, 10_000)), nil, 400},
		{"duplicate key", strings.NewReader(strings.Replace(good, "{", `{"first_name":"Eve",`, 1)), nil, 400},
		{"trailing data", strings.NewReader(good + `{}`), nil, 400},
		{"invalid UTF-8", strings.NewReader(strings.Replace(good, "Ada", "\xff\xfe", 1)), nil, 400},
		{"half a surrogate", strings.NewReader(strings.Replace(good, "Ada", `\ud800`, 1)), nil, 400},
		{"empty", strings.NewReader(""), nil, 400},
		{"only spaces", strings.NewReader("  \n"), nil, 400},
		{"null", strings.NewReader("null"), nil, 400},
		{"array", strings.NewReader("[" + good + "]"), nil, 400},
		{"truncated", strings.NewReader(good[:len(good)-3]), nil, 400},
		{"form", strings.NewReader(good), kind("application/x-www-form-urlencoded"), 415},
		{"no type", strings.NewReader(good), kind(""), 415},
		{"two types", strings.NewReader(good), kind("application/json", "text/plain"), 415},
		{"merge patch", strings.NewReader(good), kind("application/merge-patch+json"), 415},
		{"latin 1", strings.NewReader(good), kind("application/json; charset=iso-8859-1"), 415},
		{"odd parameter", strings.NewReader(good), kind("application/json; version=2"), 415},
		{"broken type", strings.NewReader(good), kind("application/json; charset"), 415},
		{"utf-8", strings.NewReader(good), kind(`application/JSON; charset="UTF-8"`), 202},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			api := newAPI(t, Config{})
			got := api.send(request{
				method: http.MethodPatch, path: usersPath + userOne.String(), reader: row.body, header: row.header,
			})
			require.Equal(t, row.status, got.status, got.text)
			if row.status == 202 {
				return
			}
			require.EqualValues(t, row.status, got.body["code"])
			require.Equal(t, http.StatusText(row.status), got.body["message"])
			require.IsType(t, "", got.body["detail"])
			require.Empty(t, api.memory.all())
			require.Equal(t, 202, api.patch(userOne, "", connOne, `"notes":"still alive"`).status)
		})
	}
}

// TestUpdateUser_SlowBody sends a body that never ends: the request must.
func TestUpdateUser_SlowBody(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{Timeout: 50 * time.Millisecond})
	body, writer := io.Pipe()
	t.Cleanup(func() { _ = writer.Close() })
	got := api.send(request{method: http.MethodPatch, path: usersPath + userOne.String(), reader: body})
	require.Equal(t, 408, got.status, got.text)
	require.EqualValues(t, 408, got.body["code"])
	require.Contains(t, got.body["detail"], "did not come in time")
}

func TestRoutes_HostilePaths(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for path, status := range map[string]int{
		"/":                                  404,
		"/v2":                                404,
		"/v2/telematics/users/":              404,
		"//v2/telematics/users":              404,
		"/v2/telematics/../telematics/users": 404,
		"/v2/telematics/users/%2e%2e":        422,
		"/v2/telematics/users/a%2Fb":         422,
		"/v2/telematics/users/%00":           422,
		"/v2/telematics/users?cursor=%zz":    400,
		"/v2/telematics/users?a=1;b=2":       400,
		"/V2/telematics/users":               404,
		"/docs/":                             404,
		"/v2/telematics/users/urn:uuid:" + userOne.String(): 422,
	} {
		got := api.get(path)
		require.Equal(t, status, got.status, "%s: %s", path, got.text)
		require.EqualValues(t, status, got.body["code"], path)
		require.Empty(t, got.header.Get("Location"), path)
	}
}

// TestContentType_RefusalNamesValueAndRule: what was sent, and what is wanted.
func TestContentType_RefusalNamesValueAndRule(t *testing.T) {
	t.Parallel()
	api := newAPI(t, Config{})
	for _, row := range []struct {
		sent []string
		says string
	}{
		{[]string{"text/plain"}, `the Content-Type must be application/json, not "text/plain"`},
		{[]string{"application/json; charset=iso-8859-1"}, `the Content-Type is "application/json; charset=iso-8859-1": the only parameter may be charset=utf-8`},
		{[]string{"application/json; version=2"}, `the Content-Type is "application/json; version=2": the only parameter may be charset=utf-8`},
		{[]string{"application/json; charset"}, `the Content-Type must be application/json, not "application/json; charset"`},
		{nil, "the Content-Type must be application/json; there is none"},
		{[]string{"application/json", "text/plain"}, "the Content-Type must be given once"},
		{[]string{strings.Repeat("x", 300)}, `the Content-Type must be application/json, not "` + strings.Repeat("x", 100) + `"`},
	} {
		got := api.send(request{
			method: http.MethodPatch, path: usersPath + userOne.String(), body: "{}", header: http.Header{"Content-Type": row.sent},
		})
		require.Equal(t, 415, got.status)
		require.Equal(t, row.says, got.body["detail"])
	}
}
