package httpapi

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
)

// document is the API's own, as a reader of it has it.
type document struct {
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	root     map[string]any
	schemas  map[string]*jsonschema.Schema
}

var published = sync.OnceValues(func() (*document, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(wire.OpenAPI()))
	if err != nil {
		return nil, err
	}
	d := &document{compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	d.root, _ = doc.(map[string]any)
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	return d, d.compiler.AddResource("openapi.json", doc)
})

// at gives a node of the document, with references followed, and where that is.
func (d *document) at(path ...string) (node map[string]any, pointer string) {
	node = d.root
	for i, name := range path {
		next, _ := node[name].(map[string]any)
		if ref, ok := next["$ref"].(string); ok && next != nil {
			rest := append(strings.Split(strings.TrimPrefix(ref, "#/"), "/"), path[i+1:]...)
			return d.at(rest...)
		}
		node = next
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	return node, pointer
}

// schema compiles the one at a pointer.
func (d *document) schema(t *testing.T, pointer string) *jsonschema.Schema {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.schemas[pointer]; ok {
		return s
	}
	s, err := d.compiler.Compile("openapi.json#" + (&url.URL{Path: pointer}).EscapedPath())
	require.NoError(t, err)
	d.schemas[pointer] = s
	return s
}

// undocumented are headers that say nothing of the API.
var undocumented = []string{
	"Cache-Control", "Connection", "Content-Length", "Content-Security-Policy", "Content-Type", "Date", "Referrer-Policy",
	"X-Accel-Buffering", "X-Content-Type-Options",
}

// routes finds a request's route as the server does.
var routes = sync.OnceValue(func() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range wire.Routes() {
		mux.Handle(r.Method+" "+r.Path, http.NotFoundHandler())
	}
	return mux
})

// conforms fails the test if the document says another thing of an answer: its status,
// its headers, its media type, its body.
func conforms(t *testing.T, method, target string, got response) {
	t.Helper()
	_, pattern := routes().Handler(httptest.NewRequest(method, target, nil))
	verb, path, ok := strings.Cut(pattern, " ")
	if !ok {
		return // of no route
	}
	d, err := published()
	require.NoError(t, err)
	name := pattern + " " + strconv.Itoa(got.status)
	answer, pointer := d.at("paths", path, strings.ToLower(verb), "responses", strconv.Itoa(got.status))
	require.NotNil(t, answer, "%s is not in the document: %s", name, got.text)
	documented, _ := answer["headers"].(map[string]any)
	for header := range got.header {
		known := slices.Contains(undocumented, header)
		for spelt := range documented {
			known = known || http.CanonicalHeaderKey(spelt) == header
		}
		require.True(t, known, "%s: the header %s is not in the document", name, header)
	}
	if method == http.MethodHead {
		return
	}
	contents, _ := answer["content"].(map[string]any)
	if contents == nil {
		require.Empty(t, got.text, name)
		return
	}
	media := got.header.Get("Content-Type")
	require.Contains(t, contents, media, name)
	values := []string{got.text}
	switch media {
	case wire.MediaJSON:
	case wire.MediaLines:
		values = strings.Split(strings.TrimSuffix(got.text, "\n"), "\n")
	default:
		return
	}
	schema := pointer + "/content/" + strings.ReplaceAll(media, "/", "~1") + "/schema"
	if media == wire.MediaLines {
		schema = "/components/schemas/UserBatchResult" // the schema of the whole knows no lines
	}
	for _, text := range values {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		require.NoError(t, err, "%s: %s", name, text)
		require.NoError(t, d.schema(t, schema).Validate(value), "%s: %s", name, text)
		d.namesFaults(t, value)
	}
}

// namesFaults fails the test for a fault whose type, or kind of place, is not in the
// words that tell programs of them, or whose input is longer than they say.
func (d *document) namesFaults(t *testing.T, value any) {
	t.Helper()
	switch v := value.(type) {
	case []any:
		for _, inner := range v {
			d.namesFaults(t, inner)
		}
	case map[string]any:
		slug, isFault := v["error_type"].(string)
		for _, inner := range v {
			d.namesFaults(t, inner)
		}
		if path, ok := v["path"].(string); ok && isFault {
			input, _ := v["input"].(string)
			require.LessOrEqual(t, utf8.RuneCountInString(input), 100, "input of %v", v)
			place, _, _ := strings.Cut(path, ".")
			for property, word := range map[string]string{"error_type": slug, "path": place} {
				said, _ := d.at("components", "schemas", "ValidationErrorDetail", "properties", property)
				require.Regexp(t, `\b`+word+`\b`, said["description"], "%s of %v", property, v)
			}
		}
	}
}
