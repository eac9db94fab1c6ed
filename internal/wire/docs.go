package wire

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"writeback/pkg/operation"
)

//go:embed docs.gohtml
var docsTemplate string

// DocsPage is the API document as one HTML page for people. It is made from the
// document at each call and is always the same. It has no scripts, loads
// nothing, and its only style is one inline element, so that the policy
// "default-src 'none'; style-src 'unsafe-inline'" is enough.
func DocsPage() []byte {
	page, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return nil // the template is part of the program and tested
	}
	var out bytes.Buffer
	if err := page.Execute(&out, docsData(document())); err != nil {
		return nil
	}
	return out.Bytes()
}

type docsView struct {
	Title, Version string
	Text           []string
	Groups         []docsGroup
	// Update are the fields of a user; Models the other objects; Errors the error
	// bodies; Enums the closed sets of values.
	Update, Models, Errors, Enums []docsModel
	Refusals                      []docsAnswer
}

type docsGroup struct {
	Name, Text string
	Routes     []docsRoute
}

type docsRoute struct {
	ID, Method, Path, Summary, Text string
	Scopes                          []string
	Params                          []docsField
	Body                            string
	BodyExamples                    []docsExample
	Answers                         []docsAnswer
}

type docsAnswer struct {
	Status, Text, Schema string
	Examples             []docsExample
}

type docsExample struct{ Name, JSON string }

type docsModel struct {
	Name, Text string
	Fields     []docsField
	Values     []string
}

type docsField struct {
	Name, In, Type, Link, Text string
	Required                   bool
}

// docsData walks the document and keeps what the page shows.
func docsData(doc object) docsView {
	info := sub(doc, "info")
	components := sub(doc, "components")
	v := docsView{Title: text(info, "title"), Version: text(info, "version"), Text: strings.Split(text(info, "description"), "\n\n")}
	tags, _ := doc.get("tags").([]object)
	for _, tag := range tags {
		v.Groups = append(v.Groups, docsGroup{text(tag, "name"), text(tag, "description"), docsRoutes(doc, text(tag, "name"))})
	}
	for _, m := range sub(components, "schemas") {
		schema, _ := m.value.(object)
		model := docsModelOf(m.name, schema)
		switch {
		case m.name == "UserUpdate" || m.name == "UserCreate" || m.name == "HosTracking":
			v.Update = append(v.Update, model)
		case len(model.Values) > 0:
			v.Enums = append(v.Enums, model)
		case isErrorSchema(m.name):
			v.Errors = append(v.Errors, model)
		default:
			v.Models = append(v.Models, model)
		}
	}
	for _, status := range refusalOrder {
		v.Refusals = append(v.Refusals, docsAnswerOf(strconv.Itoa(status), sub(sub(components, "responses"), errorNames[status])))
	}
	return v
}

func docsRoutes(doc object, tag string) []docsRoute {
	var out []docsRoute
	for _, item := range sub(doc, "paths") {
		methods, _ := item.value.(object)
		for _, m := range methods {
			op, _ := m.value.(object)
			if tags, _ := op.get("tags").([]string); slices.Contains(tags, tag) {
				out = append(out, docsRouteOf(strings.ToUpper(m.name), item.name, op))
			}
		}
	}
	return out
}

func docsRouteOf(method, path string, op object) docsRoute {
	r := docsRoute{
		ID: text(op, "operationId"), Method: method, Path: path,
		Summary: text(op, "summary"), Text: text(op, "description"),
	}
	security, _ := op.get("security").([]object)
	for _, s := range security {
		r.Scopes, _ = s.get("Bearer").([]string)
	}
	params, _ := op.get("parameters").([]object)
	for _, p := range params {
		f := docsFieldOf(text(p, "name"), sub(p, "schema"))
		f.In, f.Text = text(p, "in"), text(p, "description")
		f.Required, _ = p.get("required").(bool)
		r.Params = append(r.Params, f)
	}
	if body := sub(op, "requestBody"); body != nil {
		a := docsAnswerOf("", body)
		r.Body, r.BodyExamples = a.Schema, a.Examples
	}
	for _, m := range sub(op, "responses") {
		response, _ := m.value.(object)
		if response.index("$ref") < 0 {
			r.Answers = append(r.Answers, docsAnswerOf(m.name, response))
		}
	}
	return r
}

func docsAnswerOf(status string, response object) docsAnswer {
	media := sub(sub(response, "content"), "application/json")
	a := docsAnswer{Status: status, Text: text(response, "description"), Schema: refName(sub(media, "schema"))}
	if events := sub(response, "content").index("text/event-stream"); events >= 0 {
		a.Schema = "OperationEvent"
	}
	for _, e := range sub(media, "examples") {
		example, _ := e.value.(object)
		pretty, err := json.MarshalIndent(example.get("value"), "", "  ")
		if err == nil {
			a.Examples = append(a.Examples, docsExample{e.name, string(pretty)})
		}
	}
	return a
}

func docsModelOf(name string, schema object) docsModel {
	m := docsModel{Name: name, Text: text(schema, "description")}
	m.Values, _ = schema.get("enum").([]string)
	if len(m.Values) == 0 {
		m.Values, _ = schema.get("x-known-values").([]string)
	}
	required, _ := schema.get("required").([]string)
	for _, p := range sub(schema, "properties") {
		property, _ := p.value.(object)
		f := docsFieldOf(p.name, property)
		f.Required = slices.Contains(required, p.name)
		m.Fields = append(m.Fields, f)
	}
	return m
}

func docsFieldOf(name string, schema object) docsField {
	f := docsField{Name: name, Text: text(schema, "description")}
	f.Type, f.Link = docsType(schema)
	if d := schema.index("default"); d >= 0 {
		f.Type += fmt.Sprintf(", default %v", schema[d].value)
	}
	return f
}

// docsType says a schema in a few words, and which model it leads to.
func docsType(schema object) (words, link string) {
	if name := refName(schema); name != "" {
		return name, name
	}
	if parts, ok := schema.get("anyOf").([]object); ok {
		words, link = docsType(parts[0])
		return words + " or null", link
	}
	switch words = text(schema, "type"); words {
	case "array":
		inner, link := docsType(sub(schema, "items"))
		return "list of " + inner, link
	case "integer":
		if least := schema.index("minimum"); least >= 0 {
			words += fmt.Sprintf(" %v to %v", schema[least].value, schema.get("maximum"))
		}
	case "object":
		if extra, ok := schema.get("additionalProperties").(object); ok {
			inner, link := docsType(extra)
			return "object of " + inner, link
		}
	}
	for _, key := range []string{"format", "pattern"} {
		if s := text(schema, key); s != "" {
			words = s
		}
	}
	return words, ""
}

func isErrorSchema(name string) bool {
	if name == "ValidationErrorDetail" || name == "RetryAfterDetail" {
		return true
	}
	for _, status := range refusalOrder {
		if errorNames[status] == name {
			return true
		}
	}
	return false
}

// Limits shows what every route has in common; used by the template.
func (docsView) Limits() string {
	return fmt.Sprintf("A list gives %d items a page unless size asks for up to %d. A body is one JSON object of at most 64 KiB. "+
		"A write is attempted up to %d times within %d hours.",
		DefaultSize, MaxSize, operation.DefaultMaxAttempts, int(operation.DefaultDeadline.Hours()))
}

func sub(o object, name string) object {
	v, _ := o.get(name).(object)
	return v
}

func text(o object, name string) string {
	v, _ := o.get(name).(string)
	return v
}

func refName(o object) string {
	return strings.TrimPrefix(text(o, "$ref"), "#/components/schemas/")
}
