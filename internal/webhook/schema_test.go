package webhook_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"writeback/internal/webhook"
	"writeback/internal/wire"
)

// eventSchema gives an event's schema as the API shows it, and its definitions.
func eventSchema(t *testing.T, event string) (*jsonschema.Schema, map[string]any) {
	t.Helper()
	shown, ok := wire.EventSchemaOf(event, "")
	require.True(t, ok, event)
	text, err := jsonschema.UnmarshalJSON(strings.NewReader(shown.OpenAPISchema))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("event.json", text))
	schema, err := c.Compile("event.json")
	require.NoError(t, err)
	defs := text.(map[string]any)["$defs"].(map[string]any)
	name := strings.TrimPrefix(text.(map[string]any)["$ref"].(string), "#/$defs/")
	return schema, defs[name].(map[string]any)
}

// deliveryDoc is what the document says of a delivery.
type deliveryDoc struct {
	Parameters  []struct{ Name, In string }
	RequestBody struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
		}
	}
}

func (d deliveryDoc) headers() (out []string) {
	for _, p := range d.Parameters {
		if p.In == "header" {
			out = append(out, http.CanonicalHeaderKey(p.Name))
		}
	}
	return out
}

// told are the headers of a delivery that are not those of any request.
func told(h http.Header) (out []string) {
	for name := range h {
		if !slices.Contains([]string{"Accept", "Content-Encoding", "Content-Length", "Content-Type", "Traceparent", "User-Agent"}, name) {
			out = append(out, name)
		}
	}
	return out
}

// TestEnvelope_IsAsTheSchemaSays delivers every event and checks its body against the
// schema that the API shows: what is sent, what the schema endpoint says and what the
// OpenAPI document says are one.
func TestEnvelope_IsAsTheSchemaSays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	good, broken := newEndpoint(t, nil), newEndpoint(t, status(410))
	for _, event := range wire.ToldEvents() {
		r.subscribe(webhook.New{URL: good.URL, EventName: event})
	}
	r.subscribe(webhook.New{URL: broken.URL, EventName: webhook.EventSucceeded, Filters: webhook.Filters{FleetRefs: []string{"now"}}})
	r.work()
	r.operation(true)
	r.operation(false)
	seen := map[string]bool{}
	require.Eventually(t, func() bool {
		for _, g := range good.received() {
			seen[g.EventName] = true
		}
		return len(seen) == len(wire.ToldEvents())
	}, soon, often, "every event must come")

	var document struct {
		Paths map[string]map[string]struct {
			Callbacks map[string]map[string]map[string]deliveryDoc
		}
		Components struct{ Schemas map[string]map[string]any }
	}
	require.NoError(t, json.Unmarshal(wire.OpenAPI(), &document))
	for _, g := range good.received() {
		schema, properties := eventSchema(t, g.EventName)
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(g.body))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(value), string(g.body))
		// Schemas let unknown keys pass; there must be none.
		body := value.(map[string]any)
		require.ElementsMatch(t, slices.Collect(maps.Keys(properties["properties"].(map[string]any))), slices.Collect(maps.Keys(body)))

		delivery := document.Paths["/v2/notifications/webhooks"]["post"].Callbacks[g.EventName]["{$request.body#/url}"]["post"]
		require.ElementsMatch(t, delivery.headers(), told(g.header), g.EventName)
		ref := delivery.RequestBody.Content["application/json"].Schema.Ref
		component := document.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
		require.Equal(t, component["required"], properties["required"], g.EventName)
		data := component["properties"].(map[string]any)["data"].(map[string]any)["items"].(map[string]any)["$ref"].(string)
		known := document.Components.Schemas[strings.TrimPrefix(data, "#/components/schemas/")]["properties"].(map[string]any)
		for key := range body["data"].([]any)[0].(map[string]any) {
			require.Contains(t, known, key, g.EventName)
		}
		body["data"].([]any)[0].(map[string]any)["status"] = "odd"
		require.Error(t, schema.Validate(value), "the schema must be able to refuse")
	}
}
