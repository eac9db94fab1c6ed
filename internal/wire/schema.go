package wire

import "slices"

// Small schemas that many others use. They are never written to.
var (
	textSchema = object{{"type", "string"}}
	// filledSchema is that of text which must not be empty.
	filledSchema = object{{"type", "string"}, {"minLength", 1}}

	boolSchema = object{{"type", "boolean"}}
	intSchema  = object{{"type", "integer"}}
	uuidSchema = object{{"type", "string"}, {"format", "uuid"}}
	timeSchema = object{{"type", "string"}, {"format", "date-time"}}
	dateSchema = object{{"type", "string"}, {"format", "date"}}
	freeSchema = object{{"type", "object"}, {"additionalProperties", true}}
)

// property is one property of an object in the document.
type property struct {
	name     string
	schema   object
	required bool
	text     string
}

// structSchema is an object schema; its properties keep their order.
func structSchema(text string, properties []property) object {
	var inside object
	var required []string
	for _, p := range properties {
		schema := p.schema
		if p.text != "" {
			schema = append(slices.Clone(schema), member{"description", p.text})
		}
		inside = append(inside, member{p.name, schema})
		if p.required {
			required = append(required, p.name)
		}
	}
	out := object{{"type", "object"}, {"description", text}, {"properties", inside}}
	if len(required) > 0 {
		out = append(out, member{"required", required})
	}
	return out
}

func ref(name string) object {
	return object{{"$ref", "#/components/schemas/" + name}}
}

// nullable is the schema or null, spelled as the contract does.
func nullable(schema object) object {
	return object{{"anyOf", []object{schema, {{"type", "null"}}}}}
}

func enumSchema(text string, values []string) object {
	return object{{"type", "string"}, {"description", text}, {"enum", values}}
}

// list is a repeated query parameter.
func list(items object) object {
	return object{{"type", "array"}, {"items", items}, {"maxItems", MaxValues}}
}

func arrayOf(items object) object {
	return object{{"type", "array"}, {"items", items}}
}

func flagSchema(byDefault bool) object {
	return object{{"type", "boolean"}, {"default", byDefault}}
}

func withDefault(schema object, value any) object {
	return append(slices.Clone(schema), member{"default", value})
}

// pageName is the name of the schema of one page of these items.
func pageName(item string) string { return item + "Page" }
