package wire_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// webhookBodies are bodies with the paths of their faults. Those without a path are
// refused as a whole with the given words.
var webhookBodies = []struct {
	name, body string
	faults     []string
	refused    string
	// looser says that the contract's schema takes what the rules refuse.
	looser bool
}{
	{name: "least", body: `{"url":"https://a.example/x","event_name":"resource_operation.failed"}`},
	{name: "all", body: `{"url":"https://a.example/x","event_name":"resource_operation.*","secret":"123456789012","schedule":"long",
		"filters":{"fleet_ids":["00000000-0000-7000-8000-0000000000c1"],"fleet_refs":["north"]},"more":1}`},
	{name: "nulls", body: `{"url":"https://a.example/x","event_name":"vehicle.added","secret":null,"schedule":null,"filters":null}`},
	{name: "empty filters", body: `{"url":"https://a.example/x","event_name":"vehicle.*","filters":{"fleet_ids":null,"fleet_refs":[]}}`},
	{name: "nothing", body: `{}`, faults: []string{"body.url", "body.event_name"}},
	{name: "null", body: `{"url":null,"event_name":null}`, faults: []string{"body.url", "body.event_name"}},
	{name: "types", body: `{"url":1,"event_name":{},"secret":[],"schedule":true,"filters":"x"}`,
		faults: []string{"body.url", "body.filters", "body.secret", "body.event_name", "body.schedule"}},
	{name: "values", body: `{"url":"","event_name":"x.y","schedule":"never","filters":{"fleet_ids":["x",1],"fleet_refs":[2]}}`,
		faults: []string{"body.url", "body.filters.fleet_ids.0", "body.filters.fleet_ids.1", "body.filters.fleet_refs.0", "body.event_name", "body.schedule"}},
	{name: "long", body: `{"url":"https://a.example/` + strings.Repeat("x", wire.MaxWebhookURL) + `","event_name":"vehicle.*"}`, faults: []string{"body.url"}},
	{name: "lists", body: `{"url":"https://a.example/x","event_name":"vehicle.*","filters":{"fleet_ids":"x","fleet_refs":{}}}`,
		faults: []string{"body.filters.fleet_ids", "body.filters.fleet_refs"}},
	{name: "short secret", body: `{"url":"https://a.example/x","event_name":"vehicle.*","secret":"12345678901"}`, faults: []string{"body.secret"}, looser: true},
	{name: "short secret of long letters", body: `{"url":"https://a.example/x","event_name":"vehicle.*","secret":"éééééé"}`, faults: []string{"body.secret"}, looser: true},
	{name: "long secret", body: `{"url":"https://a.example/x","event_name":"vehicle.*","secret":"` + strings.Repeat("é", 257) + `"}`, faults: []string{"body.secret"}, looser: true},
	{name: "a Standard Webhooks secret", body: `{"url":"https://a.example/x","event_name":"vehicle.*","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`},
	{name: "not what it claims", body: `{"url":"https://a.example/x","event_name":"vehicle.*","secret":"whsec_my-own-secret"}`, faults: []string{"body.secret"}, looser: true},
	{name: "without its padding", body: `{"url":"https://a.example/x","event_name":"vehicle.*","secret":"whsec_MfKQ9r8GKY"}`, faults: []string{"body.secret"}, looser: true},
	{name: "longest secret", body: `{"url":"https://a.example/x","event_name":"vehicle.*","secret":"` + strings.Repeat("é", 256) + `"}`},
	{name: "empty reference", body: `{"url":"https://a.example/x","event_name":"vehicle.*","filters":{"fleet_refs":[""]}}`,
		faults: []string{"body.filters.fleet_refs.0"}, looser: true},
	{name: "unknown filter", body: `{"url":"https://a.example/x","event_name":"vehicle.*","filters":{"fleet_refs":["a"],"fleet_id":["x"],"extra":1}}`,
		faults: []string{"body.filters.extra", "body.filters.fleet_id"}, looser: true},
	{name: "list", body: `[]`, refused: "not a JSON object"},
	{name: "cut", body: `{"url":`, refused: "not valid JSON"},
	{name: "no JSON", body: `x`, refused: "not valid JSON"},
	{name: "more", body: `{} {}`, refused: "not valid JSON"},
	{name: "empty", body: ` `, refused: "empty"},
	{name: "twice", body: `{"url":"a","url":"b"}`, refused: `same key twice, "url",`},
	{name: "deep", body: `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, refused: "nests deeper"},
}

func TestDecodeWebhookCreate(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t, "WebhookCreate")
	for _, row := range webhookBodies {
		_, err := wire.DecodeWebhookCreate([]byte(row.body), wire.DecodeOptions{})
		if row.refused != "" {
			require.ErrorContains(t, err, row.refused, row.name)
			var e *operation.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, operation.CodeBadRequest, e.Code, row.name)
			continue
		}
		require.Equal(t, row.faults, pathsOf(t, err), row.name)
		value, bad := jsonschema.UnmarshalJSON(strings.NewReader(row.body))
		require.NoError(t, bad)
		require.Equal(t, row.faults == nil || row.looser, schema.Validate(value) == nil, row.name)
	}
	in, err := wire.DecodeWebhookCreate([]byte(webhookBodies[1].body), wire.DecodeOptions{})
	require.NoError(t, err)
	require.Equal(t, "resource_operation.*", in.EventName)
	require.Equal(t, "long", in.Schedule)
	require.Equal(t, []string{"north"}, in.Filters.FleetRefs)
	require.Len(t, in.Filters.FleetIDs, 1)
	_, err = wire.DecodeWebhookCreate([]byte(webhookBodies[1].body), wire.DecodeOptions{Strict: true})
	require.Equal(t, []string{"body.more"}, pathsOf(t, err))
}

// A name that no contract knows is answered with those that are sent, and not with one that
// is refused as well.
func TestDecodeWebhookCreate_SaysWhichEventsAreSent(t *testing.T) {
	t.Parallel()
	_, err := wire.DecodeWebhookCreate([]byte(`{"url":"https://a.example/x","event_name":"resource_operation.updated"}`), wire.DecodeOptions{})
	fault := asError(t, err).Faults[0]
	require.Equal(t, "body.event_name", fault.Path)
	for _, event := range wire.ToldEvents() {
		require.Contains(t, fault.Message, event)
	}
	require.NotContains(t, fault.Message, "dvir_log")
}

// A refusal must not repeat a secret, nor a URL, which may hold one.
func TestDecodeWebhook_FaultsShowNoSecret(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{`"hush"`, `["hush"]`} {
		_, err := wire.DecodeWebhookCreate([]byte(`{"url":{"a":"hush"},"secret":`+secret+`,"event_name":"x","schedule":7}`), wire.DecodeOptions{})
		body, bad := json.Marshal(wire.ErrorBody(422, asError(t, err)))
		require.NoError(t, bad)
		require.NotContains(t, string(body), "hush")
		require.Contains(t, string(body), "body.secret")
		require.Contains(t, string(body), `"input":"7"`, "what is no secret is shown")
		require.Contains(t, string(body), "webhook.staled, and resource_operation.*", "names that are sent")
		require.NotContains(t, string(body), "dvir_log", "and none that would be refused next")
	}
}

func TestDecodeWebhookUpdate(t *testing.T) {
	t.Parallel()
	decode := func(body string) (wire.WebhookUpdate, error) {
		return wire.DecodeWebhookUpdate([]byte(body), wire.DecodeOptions{})
	}
	in, err := decode(`{"filters":null}`)
	require.NoError(t, err)
	require.Equal(t, &wire.WebhookFilters{}, in.Filters, "null selects all fleets")
	require.Nil(t, in.URL)
	in, err = decode(`{"url":"https://b.example","secret":null,"schedule":"short","status":null}`)
	require.NoError(t, err)
	require.Equal(t, "https://b.example", *in.URL)
	require.Nil(t, in.Secret)
	require.Nil(t, in.Filters)
	require.Equal(t, "short", *in.Schedule)
	for _, nothing := range []string{`{}`, `{"url":null}`, `{"status":null}`, `{"id":"x"}`} {
		_, err = decode(nothing)
		require.ErrorContains(t, err, "nothing to update", nothing)
	}
	_, err = decode(`{"schedule":"short","status":"paused","event_name":"vehicle.*"}`)
	require.Equal(t, []string{"body.status", "body.event_name"}, sortedAs(pathsOf(t, err), "status", "event_name"), "ignored, it would look like done")
	require.Contains(t, asError(t, err).Faults[0].Message, "activate or pause")
	_, err = decode(`{"filters":{"fleet_id":["00000000-0000-7000-8000-0000000000c1"]}}`)
	require.Equal(t, []string{"body.filters.fleet_id"}, pathsOf(t, err), "a misspelt filter would select all fleets")
	_, err = decode(`{"url":3,"filters":[],"secret":"short","schedule":"no"}`)
	require.Equal(t, []string{"body.url", "body.filters", "body.secret", "body.schedule"}, sortedAs(pathsOf(t, err), "url", "filters", "secret", "schedule"))
}

// TestDecodeWebhook_TheMaskIsNoSecret: a read that is sent back says what it did.
func TestDecodeWebhook_TheMaskIsNoSecret(t *testing.T) {
	t.Parallel()
	_, onCreate := wire.DecodeWebhookCreate([]byte(`{"url":"https://a.example/x","event_name":"vehicle.*","secret":"*****"}`), wire.DecodeOptions{})
	_, onUpdate := wire.DecodeWebhookUpdate([]byte(`{"secret":"*****"}`), wire.DecodeOptions{})
	for _, err := range []error{onCreate, onUpdate} {
		require.Equal(t, []string{"body.secret"}, pathsOf(t, err))
		require.Equal(t, "is the masked form that reads show; send a new secret, or leave it out", asError(t, err).Faults[0].Message)
	}
}

// sortedAs puts paths into the order of these names.
func sortedAs(paths []string, names ...string) (out []string) {
	for _, name := range names {
		for _, p := range paths {
			if p == "body."+name {
				out = append(out, p)
			}
		}
	}
	if len(out) != len(paths) {
		return paths
	}
	return out
}

func pathsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	e := asError(t, err)
	require.Equal(t, operation.CodeInvalid, e.Code, e.Message)
	var out []string
	for _, f := range e.Faults {
		require.NotEmpty(t, f.Message)
		require.NotEmpty(t, f.Type)
		out = append(out, f.Path)
	}
	return out
}

func TestParseWebhookParams(t *testing.T) {
	t.Parallel()
	q := func(text string) url.Values {
		v, err := url.ParseQuery(text)
		require.NoError(t, err)
		return v
	}
	in, cursor, err := wire.ParseListWebhooks(q("event_name=webhook.staled&status=stale&size=7&cursor=c"))
	require.NoError(t, err)
	require.Equal(t, wire.ListWebhooks{EventName: "webhook.staled", Status: "stale", Size: 7}, in)
	require.Equal(t, "c", cursor)
	_, _, err = wire.ParseListWebhooks(q("event_name=x&status=y&size=0&cursor="))
	require.Equal(t, []string{"query.event_name", "query.status", "query.size", "query.cursor"}, pathsOf(t, err))
	logs, _, err := wire.ParseListWebhookLogs(q("start_date=2026-01-01T00:00:00Z&status=failed"))
	require.NoError(t, err)
	require.Equal(t, wire.DefaultSize, logs.Size)
	require.True(t, logs.To.IsZero())
	_, _, err = wire.ParseListWebhookLogs(q("start_date=2026-01-02T00:00:00Z&end_date=2026-01-01T00:00:00Z&status=no"))
	require.Equal(t, []string{"query.start_date", "query.status"}, pathsOf(t, err))
	replay, err := wire.ParseReplayWebhook(q("message_ids=00000000-0000-7000-8000-0000000000c1&message_ids=00000000-0000-7000-8000-0000000000c2"))
	require.NoError(t, err)
	require.Len(t, replay.Messages, 2)
	_, err = wire.ParseReplayWebhook(q("message_ids=x&end_date=y&status=z"))
	require.Equal(t, []string{"query.end_date", "query.status", "query.message_ids"}, pathsOf(t, err))
	_, err = wire.ParseTail(q("last_event_id="))
	require.Equal(t, []string{"query.last_event_id"}, pathsOf(t, err))
}

// Each event's schema stands by itself, is the one of the document, and takes and
// refuses the same.
func TestEventSchemaOf(t *testing.T) {
	t.Parallel()
	for _, event := range wire.ToldEvents() {
		require.Contains(t, wire.WebhookEventNames, event)
		got, ok := wire.EventSchemaOf(event, "")
		require.True(t, ok)
		same, ok := wire.EventSchemaOf(event, got.Version)
		require.True(t, ok)
		require.Equal(t, got, same)
		text, err := jsonschema.UnmarshalJSON(strings.NewReader(got.OpenAPISchema))
		require.NoError(t, err)
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		require.NoError(t, c.AddResource("event.json", text))
		schema, err := c.Compile("event.json")
		require.NoError(t, err)
		require.NotContains(t, got.OpenAPISchema, "components")

		name := text.(map[string]any)["$ref"].(string)[len("#/$defs/"):]
		document := compileSchema(t, name)
		for body, good := range map[string]bool{
			`{"version":"1.0","id":"00000000-0000-7000-8000-0000000000c1","event_name":"` + event + `","webhook_id":"00000000-0000-7000-8000-0000000000c2",
				"timestamp":"2026-01-01T00:00:00Z","delivery_attempt":1,"data":[]}`: true,
			`{"version":"1.0","id":"00000000-0000-7000-8000-0000000000c1","event_name":"other","webhook_id":"00000000-0000-7000-8000-0000000000c2",
				"timestamp":"2026-01-01T00:00:00Z","delivery_attempt":1,"data":[]}`: false,
			`{"version":"1.0","id":"00000000-0000-7000-8000-0000000000c1","event_name":"` + event + `","webhook_id":"00000000-0000-7000-8000-0000000000c2",
				"timestamp":"2026-01-01T00:00:00Z","delivery_attempt":1,"data":[{"status":"odd"}]}`: false,
		} {
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(body)))
			require.NoError(t, err)
			require.Equal(t, good, schema.Validate(value) == nil, "%s: %s", event, body)
			require.Equal(t, good, document.Validate(value) == nil, "%s: %s", event, body)
		}
	}
	for _, row := range [][2]string{{"vehicle.added", ""}, {"resource_operation.*", ""}, {"webhook.staled", "2.0"}} {
		_, ok := wire.EventSchemaOf(row[0], row[1])
		require.False(t, ok, row)
	}
}

// The document has the requests that are made to webhooks, under the events' names. It
// refers to their bodies from a path: generators of clients leave out what only the
// section "webhooks" has, and one of them then makes what does not compile.
func TestOpenAPI_Deliveries(t *testing.T) {
	t.Parallel()
	doc := loadSpec(t, wire.OpenAPI())
	require.Empty(t, doc.Webhooks)
	callbacks := doc.Paths.Find("/v2/notifications/webhooks").Post.Callbacks
	require.Len(t, callbacks, len(wire.ToldEvents()))
	ids := map[string]bool{}
	for _, event := range wire.ToldEvents() {
		require.NotNil(t, callbacks[event], event)
		post := callbacks[event].Value.Value("{$request.body#/url}").Post
		require.Equal(t, event, post.RequestBody.Value.Content["application/json"].Schema.Value.Properties["event_name"].Value.Const)
		require.False(t, ids[post.OperationID], "twice: %s", post.OperationID)
		ids[post.OperationID] = true
		require.NotNil(t, post.Security)
		require.Empty(t, *post.Security, "a delivery has no token")
	}
}

func FuzzDecodeWebhook(f *testing.F) {
	for _, row := range webhookBodies {
		f.Add([]byte(row.body), true)
		f.Add([]byte(row.body), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, strict bool) {
		opt := wire.DecodeOptions{Strict: strict}
		made, err := wire.DecodeWebhookCreate(body, opt)
		if err != nil {
			e := asError(t, err)
			require.Equal(t, e.Code == operation.CodeInvalid, len(e.Faults) > 0)
			for _, fault := range e.Faults {
				if fault.Path == "body.url" || fault.Path == "body.secret" {
					require.Contains(t, []string{"", "null"}, fault.Input, "neither is ever repeated")
				}
			}
			return
		}
		// What makes a webhook also changes one, but for what never changes.
		changed, err := wire.DecodeWebhookUpdate(body, wire.DecodeOptions{})
		for _, fault := range asError(t, err).Faults {
			require.Equal(t, "frozen_field", fault.Type)
		}
		require.Equal(t, made.URL, *changed.URL)
	})
}
