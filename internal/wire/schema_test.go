package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// compiler has read the document, which takes longer than to compile one of its schemas.
var compiler = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(wire.OpenAPI()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	return c, c.AddResource("openapi.json", doc)
})

var compiling sync.Mutex

// compileSchema compiles one component of the document, formats asserted.
func compileSchema(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	c, err := compiler()
	require.NoError(t, err)
	compiling.Lock()
	defer compiling.Unlock()
	s, err := c.Compile("openapi.json#/components/schemas/" + name)
	require.NoError(t, err)
	return s
}

// beyondSchema lists the refusals that a JSON Schema of the body does not state.
// Everything else is accepted exactly when the schema accepts it.
var beyondSchema = []struct {
	name  string
	holds func(body string, e *operation.Error) bool
}{
	{"nothing to update", func(_ string, e *operation.Error) bool {
		return strings.HasPrefix(e.Message, "no fields to update")
	}},
	{"a key twice", func(_ string, e *operation.Error) bool {
		return strings.HasPrefix(e.Message, "an object has the same key twice")
	}},
	{"nesting over the limit", func(body string, e *operation.Error) bool {
		return strings.HasPrefix(e.Message, "the body nests deeper than") && strings.Contains(body, strings.Repeat("[", 30))
	}},
	{"bytes that are not UTF-8", func(body string, e *operation.Error) bool {
		return e.Message == "the body is not valid UTF-8" && !utf8.ValidString(body)
	}},
	{"text that is not Unicode: half a surrogate", func(body string, e *operation.Error) bool {
		return strings.HasPrefix(e.Message, "the body is not valid JSON") && strings.Contains(body, `\ud800`)
	}},
	{"a date in the year 0", func(body string, e *operation.Error) bool {
		for _, f := range e.Faults {
			if f.Type != "date_parsing" || !strings.HasPrefix(f.Input, "0000-") {
				return false
			}
		}
		return e.Code == operation.CodeInvalid && strings.Contains(body, "0000-")
	}},
	{"status against is_active, or two spellings that differ", func(_ string, e *operation.Error) bool {
		for _, f := range e.Faults {
			if f.Type != "conflict" {
				return false
			}
		}
		return e.Code == operation.CodeInvalid
	}},
}

// The generators draw JSON text and not Go values, so that keys can be double
// and the text broken.
func scalars() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"null", "true", "false", "0", "1", "-1.5", "1e400", `""`, `"a"`, `"true"`, `"USA"`, `"us"`, `"ééé"`, `"US\n"`, `"ACTIVE"`,
			`"INACTIVE"`, `"SUSPENDED"`, `"exempt"`, `"non_exempt"`, `"manual"`, `"automatic"`, `"UTC"`, `"America/Chicago"`,
			`"US_INT_PROP_70_8"`, `"2026-01-31"`, `"2026-02-30"`, `"2026-1-1"`, `"0000-01-01"`, `"+1"`, `"\ud800"`, `"` + connection + `"`,
			`"` + strings.ToUpper(connection) + `"`, `"urn:uuid:` + connection + `"`, `[]`, `{}`, `{"a":1}`,
			strings.Repeat("[", 40) + strings.Repeat("]", 40),
		}),
		rapid.Custom(func(t *rapid.T) string {
			b, _ := json.Marshal(rapid.String().Draw(t, "text"))
			return string(b)
		}),
	)
}

// fitting draws a value that the field's rule takes.
func fitting(spec operation.Spec) *rapid.Generator[string] {
	quoted := func(values ...string) *rapid.Generator[string] {
		for i := range values {
			values[i] = `"` + values[i] + `"`
		}
		return rapid.SampledFrom(append(values, "null"))
	}
	switch spec.Kind {
	case operation.KindBool:
		return rapid.SampledFrom([]string{"true", "false", "null"})
	case operation.KindDate:
		return quoted("2026-01-31", "2028-02-29")
	case operation.KindAlpha3:
		return quoted("USA", "can", "12_")
	case operation.KindEnum:
		return quoted(append([]string(nil), spec.Enum...)...)
	}
	return quoted("", "a", "+1", "x y")
}

func memberOf(spec operation.Spec) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		value := fitting(spec)
		if rapid.IntRange(0, 5).Draw(t, "odd") == 0 {
			value = scalars()
		}
		return fmt.Sprintf("%q:%s", spec.Name, value.Draw(t, "value"))
	})
}

func bodies() *rapid.Generator[string] {
	var nested []operation.Spec
	for _, spec := range operation.UserFields {
		if spec.Parent != "" {
			nested = append(nested, spec)
		}
	}
	return rapid.Custom(func(t *rapid.T) string {
		var members []string
		if rapid.IntRange(0, 9).Draw(t, "connection") > 0 {
			members = append(members, `"connection_id":"`+connection+`"`)
		}
		for range rapid.IntRange(0, 5).Draw(t, "fields") {
			switch rapid.IntRange(0, 7).Draw(t, "kind") {
			case 0:
				members = append(members, `"x":`+scalars().Draw(t, "unknown"))
			case 1:
				members = append(members, `"connection_id":`+scalars().Draw(t, "connection"))
			case 2:
				members = append(members, `"hos_tracking":`+scalars().Draw(t, "tracking"))
			case 3:
				var inside []string
				for range rapid.IntRange(0, 2).Draw(t, "inside") {
					inside = append(inside, memberOf(rapid.SampledFrom(nested).Draw(t, "spec")).Draw(t, "member"))
				}
				members = append(members, `"hos_tracking":{`+strings.Join(inside, ",")+"}")
			default:
				members = append(members, memberOf(rapid.SampledFrom(operation.UserFields).Draw(t, "spec")).Draw(t, "member"))
			}
		}
		body := "{" + strings.Join(members, ",") + "}"
		if rapid.IntRange(0, 19).Draw(t, "broken") == 0 && len(body) > 0 {
			i := rapid.IntRange(0, len(body)-1).Draw(t, "at")
			body = body[:i] + rapid.SampledFrom([]string{"", "}", "{", ",", `"`, "x"}).Draw(t, "with") + body[i+1:]
		}
		return body
	})
}

// The decoders and the published schemas accept the same bodies, but for what is
// listed in beyondSchema.
func TestDecodeUser_AgreesWithSchema(t *testing.T) {
	t.Parallel()
	for name, decode := range map[string]func([]byte, wire.DecodeOptions) (wire.UserWrite, error){
		"UserUpdate": wire.DecodeUserUpdate, "UserCreate": wire.DecodeUserCreate,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agree(t, name, decode)
		})
	}
}

func agree(t *testing.T, name string, decode func([]byte, wire.DecodeOptions) (wire.UserWrite, error)) {
	t.Helper()
	schema := compileSchema(t, name)
	accepted, exceptions := 0, map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		body := bodies().Draw(t, "body")
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err == nil {
			err = schema.Validate(value)
		}
		_, refusal := decode([]byte(body), wire.DecodeOptions{})
		switch {
		case err != nil && refusal == nil:
			t.Fatalf("taken, but the schema refuses it: %v\n%s", err, body)
		case err == nil && refusal == nil:
			accepted++
		case err == nil:
			e, _ := refusal.(*operation.Error) //nolint:errorlint // the decoder gives this very type, unwrapped
			for _, x := range beyondSchema {
				if x.holds(body, e) {
					exceptions[x.name]++
					return
				}
			}
			t.Fatalf("refused, but the schema takes it: %v %v\n%s", e, e.Faults, body)
		}
	})
	require.NotZero(t, accepted, "the generator makes no acceptable body")
	if name == "UserCreate" {
		require.Zero(t, exceptions["nothing to update"], "what a create needs is the provider's to say")
	}
	t.Logf("accepted %d; beyond the schema: %v", accepted, exceptions)
}
