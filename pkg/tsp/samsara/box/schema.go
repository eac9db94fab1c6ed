package box

import (
	"bytes"
	_ "embed" // the spec is compiled in
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// samsaraSpec is the drivers part of Samsara's OpenAPI document, without prose.
//
//go:embed samsara-drivers.openapi.json
var samsaraSpec []byte

// samsaraSchema checks request bodies against the vendor's document. Safe for
// concurrent use.
type samsaraSchema struct{ update, create *jsonschema.Schema }

// newSamsaraSchema compiles the embedded document. The panics can only come from
// a broken document, which every test would show.
func newSamsaraSchema() *samsaraSchema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(samsaraSpec))
	if err != nil {
		panic(fmt.Errorf("sandbox: samsara spec: %w", err))
	}
	sharpen(doc)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("samsara.json", doc); err != nil {
		panic(fmt.Errorf("sandbox: samsara spec: %w", err))
	}
	return &samsaraSchema{
		update: compiler.MustCompile("samsara.json#/components/schemas/UpdateDriverRequest"),
		create: compiler.MustCompile("samsara.json#/components/schemas/CreateDriverRequest"),
	}
}

// sharpen adds what the newest vendor SDK has on top of the document, and closes
// every object, since Samsara refuses keys that it does not know.
func sharpen(doc any) {
	schemas := doc.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
	for name, s := range schemas {
		schema := s.(map[string]any)
		properties, isObject := schema["properties"].(map[string]any)
		if !isObject {
			continue
		}
		schema["additionalProperties"] = false
		if name == "UpdateDriverRequest" || name == "CreateDriverRequest" {
			properties["email"] = map[string]any{"type": "string"}
			properties["dateOfBirth"] = map[string]any{"type": "string"}
		}
	}
}

// check gives the first fault of a body in Samsara's manner, or "". It names the
// field and never the value.
func (s *samsaraSchema) check(schema *jsonschema.Schema, body map[string]any) string {
	err := schema.Validate(body)
	if err == nil {
		return ""
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return "Invalid request body"
	}
	for len(invalid.Causes) > 0 {
		invalid = invalid.Causes[0]
	}
	return describe(strings.Join(invalid.InstanceLocation, "."), invalid.ErrorKind)
}

func describe(field string, k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.AdditionalProperties:
		slices.Sort(k.Properties)
		return fmt.Sprintf("Unknown field %q", join(field, k.Properties[0]))
	case *kind.Required:
		return fmt.Sprintf("Missing required field %q", join(field, k.Missing[0]))
	case *kind.Enum:
		allowed := make([]string, 0, len(k.Want))
		for _, v := range k.Want {
			allowed = append(allowed, fmt.Sprintf("'%v'", v))
		}
		return fmt.Sprintf("Invalid value for %s. Can only be %s", field, strings.Join(allowed, " or "))
	case *kind.Type:
		return fmt.Sprintf("Invalid value for %s. Must be of type %s, not %s", field, strings.Join(k.Want, " or "), k.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("Invalid value for %s. Must be at most %d characters", field, k.Want)
	case *kind.MinLength:
		return fmt.Sprintf("Invalid value for %s. Must be at least %d characters", field, k.Want)
	default:
		return "Invalid value for " + field
	}
}

func join(parent, key string) string {
	if parent == "" {
		return key
	}
	return parent + "." + key
}
