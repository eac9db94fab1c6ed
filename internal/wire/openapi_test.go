package wire_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/load"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

const contractFile = "testdata/contract.openapi.json"

func loadSpec(t *testing.T, data []byte) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(data)
	require.NoError(t, err)
	return doc
}

func contract(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(contractFile)
	require.NoError(t, err)
	return data
}

func TestOpenAPI_IsValid(t *testing.T) {
	t.Parallel()
	doc := loadSpec(t, wire.OpenAPI())
	require.True(t, doc.IsOpenAPI31OrLater())
	require.NoError(t, doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()))
	require.Equal(t, wire.OpenAPI(), wire.OpenAPI(), "must be deterministic")
}

// allowedBreaks are the findings of oasdiff that are meant.
var allowedBreaks = []struct{ id, about, reason string }{
	{"response-property-became-not-enum", "source_name", "the set of providers is open: the contract's own newer pages show names that are not in it"},
	{"response-property-enum-value-added", "`fleet_info`", "the contract's newest page has this 32nd resource"},
}

func TestOpenAPI_BreaksNothingOfTheContract(t *testing.T) {
	t.Parallel()
	base, ours := loadSpec(t, contract(t)), loadSpec(t, wire.OpenAPI())
	d, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(), &load.SpecInfo{Spec: base}, &load.SpecInfo{Spec: ours})
	require.NoError(t, err)
	met := make([]bool, len(allowedBreaks))
	for _, change := range checker.CheckBackwardCompatibility(checker.NewConfig(checker.GetAllChecks()), d, sources) {
		words := change.GetUncolorizedText(checker.NewDefaultLocalizer())
		allowed := false
		for i, a := range allowedBreaks {
			if change.GetId() == a.id && strings.Contains(words, a.about) {
				met[i], allowed = true, true
			}
		}
		if !allowed && change.GetLevel() == checker.ERR {
			t.Errorf("%s: %s %s: %s", change.GetId(), change.GetOperation(), change.GetPath(), words)
		}
	}
	for i, a := range allowedBreaks {
		require.True(t, met[i], "%s is allowed but does not occur", a.id)
	}
}

// Guards the test above: it must see a break.
func TestOpenAPI_BreakIsSeen(t *testing.T) {
	t.Parallel()
	base, ours := loadSpec(t, contract(t)), loadSpec(t, wire.OpenAPI())
	ours.Paths.Delete("/v2/telematics/users")
	d, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(), &load.SpecInfo{Spec: base}, &load.SpecInfo{Spec: ours})
	require.NoError(t, err)
	require.True(t, checker.CheckBackwardCompatibility(checker.NewConfig(checker.GetAllChecks()), d, sources).HasLevelOrHigher(checker.ERR))
}

// oasdiff knows rules; this knows the contract: every route, parameter, response,
// scope and property of the data is there, with the same constraints.
func TestOpenAPI_HasAllOfTheContract(t *testing.T) {
	t.Parallel()
	var base, ours map[string]any
	require.NoError(t, json.Unmarshal(contract(t), &base))
	require.NoError(t, json.Unmarshal(wire.OpenAPI(), &ours))
	at := func(doc map[string]any, path ...string) map[string]any {
		for _, p := range path {
			doc, _ = doc[p].(map[string]any)
		}
		return doc
	}
	for path, item := range at(base, "paths") {
		for method := range item.(map[string]any) {
			want, got := at(base, "paths", path, method), at(ours, "paths", path, method)
			require.NotNil(t, got, "%s %s", method, path)
			require.Equal(t, want["operationId"], got["operationId"])
			require.Equal(t, want["security"], got["security"], path)
			for status := range at(want, "responses") {
				require.Contains(t, got["responses"], status, path)
			}
			mine := slices.DeleteFunc(bareParams(got), extension)
			if got["operationId"] == "replay_undelivered_messages_from_dlq" { // what to replay is ours to say
				mine = slices.DeleteFunc(mine, func(p string) bool { return strings.Contains(p, `"in":"query"`) })
			}
			require.Equal(t, bareParams(want), mine, path)
		}
	}
	for name, schema := range at(base, "components", "schemas") {
		mine := at(ours, "components", "schemas", renamed(name))
		require.NotNil(t, mine, name)
		for property, want := range at(schema.(map[string]any), "properties") {
			got := at(mine, "properties", property)
			require.NotNil(t, got, "%s.%s", name, property)
			delete(got, "description")
			require.Equal(t, bare(want), bare(got), "%s.%s", name, property)
		}
		if values, ok := schema.(map[string]any)["enum"].([]any); ok {
			known, ok := mine["enum"].([]any)
			if !ok {
				known, _ = mine["x-known-values"].([]any)
			}
			require.Subset(t, known, values, name)
		}
	}
}

// renamed maps the contract's generated names to ours.
func renamed(name string) string {
	if inner, ok := strings.CutPrefix(name, "_CursorPage_"); ok {
		return strings.TrimPrefix(strings.TrimSuffix(inner, "_"), "TypeVar_Customized_") + "Page"
	}
	if name == "ResourceOperationLogRead" {
		return "ResourceOperationLog"
	}
	return name
}

// bare is a schema as text, with our names.
func bare(schema any) string {
	b, _ := json.Marshal(schema)
	parts := strings.Split(string(b), `"#/components/schemas/`)
	for i, p := range parts[1:] {
		name, rest, _ := strings.Cut(p, `"`)
		parts[i+1] = renamed(name) + `"` + rest
	}
	return strings.Join(parts, `"#/components/schemas/`)
}

// extension tells a parameter that the contract does not have: headers, the dry run
// of a write, and users by name.
func extension(param string) bool {
	return strings.Contains(param, `"in":"header"`) || strings.Contains(param, `"name":"dry_run"`) || strings.Contains(param, `"name":"name"`)
}

func bareParams(op map[string]any) []string {
	params, _ := op["parameters"].([]any)
	var out []string
	for _, p := range params {
		p := p.(map[string]any)
		delete(p, "description")
		out = append(out, bare(p))
	}
	slices.Sort(out)
	return out
}

func TestOpenAPI_ResourcesAndSources(t *testing.T) {
	t.Parallel()
	require.Len(t, wire.Resources, 32)
	require.Contains(t, wire.Resources, operation.ResourceUser)
	require.NoError(t, compileSchema(t, "TspEnum").Validate("a_provider_of_tomorrow"))
	require.Error(t, compileSchema(t, "ResourceEnum").Validate("nothing"))
}

// What the contract does not have is there on writes only, and nobody has to know it.
func TestOpenAPI_Extensions(t *testing.T) {
	t.Parallel()
	doc := loadSpec(t, wire.OpenAPI())
	writes := map[string]bool{}
	for _, r := range wire.Routes() {
		op := doc.Paths.Find(r.Path).GetOperation(r.Method)
		key := op.Parameters.GetByInAndName("header", "Idempotency-Key")
		if !slices.Contains(r.Scopes, wire.ScopeTelematicsWrite) {
			require.Nil(t, key, r.OperationID)
			continue
		}
		writes[r.OperationID] = key != nil
		if key != nil {
			require.False(t, key.Required)
			for _, k := range []string{"", "a", "a,b", "a b", "é", strings.Repeat("k", wire.MaxIdempotencyKey), strings.Repeat("k", wire.MaxIdempotencyKey+1)} {
				require.Equal(t, wire.ValidKey(k), key.Schema.Value.VisitJSON(k) == nil, "%q", k)
			}
		}
		dry := op.Parameters.GetByInAndName("query", "dry_run")
		batch := r.OperationID == "update_users_batch"
		require.Equal(t, op.RequestBody != nil && !batch, dry != nil, "%s: what has a body can be tried, but for a batch", r.OperationID)
		for status, answer := range op.Responses.Map() {
			if answer.Ref == "" {
				require.Contains(t, answer.Value.Headers, "RateLimit", "%s %s", r.OperationID, status)
				require.Contains(t, answer.Value.Headers, "RateLimit-Policy")
				require.Equal(t, key != nil, answer.Value.Headers["Idempotency-Replayed"] != nil)
			}
		}
		refusal := op.Responses.Value("429").Value
		for _, name := range []string{"Retry-After", "RateLimit", "RateLimit-Policy"} {
			require.Contains(t, refusal.Headers, name)
		}
	}
	require.Equal(t, map[string]bool{
		"update_user": true, "create_user": true, "update_users_batch": true, "retry_resource_operation": true, "cancel_resource_operation": false,
	}, writes)
	events := doc.Paths.Find("/v2/integrations/connections/resource-operations/events").Get
	require.NotNil(t, events.Parameters.GetByInAndName("header", "Last-Event-ID"))
	place := events.Parameters.GetByInAndName("query", "last_event_id")
	name := doc.Paths.Find("/v2/telematics/users").Get.Parameters.GetByInAndName("query", "name")
	for _, p := range []*openapi3.Parameter{place, name} {
		require.Error(t, p.Schema.Value.VisitJSON(""), "%s: empty is refused", p.Name)
		require.NoError(t, p.Schema.Value.VisitJSON("a"))
	}
}

// What generators of clients make of the document is right, and compiles.
func TestOpenAPI_IsFitForGenerators(t *testing.T) {
	t.Parallel()
	doc := loadSpec(t, wire.OpenAPI())
	batch := doc.Paths.Find("/v2/telematics/users/batch").Post
	for _, content := range []openapi3.Content{batch.RequestBody.Value.Content, batch.Responses.Value("200").Value.Content} {
		require.True(t, content[wire.MediaLines].Schema.Value.Type.Is("string"), "lines of objects are no object")
	}
	// A generator that keeps the order joins enums where it meets them.
	joined := bytes.Index(wire.OpenAPI(), []byte(`"WebhookCreate": {`))
	for _, enum := range []string{"WebhookEventNameEnum", "WebhookCatchAllEvents"} {
		require.Less(t, bytes.Index(wire.OpenAPI(), []byte(`"`+enum+`": {`)), joined)
	}
}

// The document says what a caller would find out too late.
func TestOpenAPI_SaysWhatSurprises(t *testing.T) {
	t.Parallel()
	doc := loadSpec(t, wire.OpenAPI())
	users := doc.Paths.Find("/v2/telematics/users")
	require.Contains(t, users.Post.Description, "`retry` of its operation looks for that user first")
	require.NotContains(t, users.Post.Description, "send it again")
	for _, read := range []*openapi3.Operation{users.Get, doc.Paths.Find("/v2/telematics/users/{user_id}").Get} {
		require.Contains(t, read.Description, "A write does not show here before the next time")
	}
}

// What has a body can be refused for it, and every answer has the headers that it is sent
// with.
func TestOpenAPI_BodiesAndHeaders(t *testing.T) {
	t.Parallel()
	doc := loadSpec(t, wire.OpenAPI())
	for _, r := range wire.Routes() {
		op := doc.Paths.Find(r.Path).GetOperation(r.Method)
		for _, status := range []string{"408", "413", "415"} {
			require.Equal(t, op.RequestBody != nil, op.Responses.Value(status) != nil, "%s %s", r.OperationID, status)
		}
		for status, answer := range op.Responses.Map() {
			require.Contains(t, answer.Value.Headers, "X-Request-Id", "%s %s", r.OperationID, status)
			if answer.Ref == "" {
				headers := answer.Value.Headers
				require.Equal(t, headers["Location"] != nil, headers["Operation-Location"] != nil, "%s %s", r.OperationID, status)
			}
		}
	}
	require.Contains(t, doc.Paths.Find("/v2/telematics/users/{user_id}").Patch.Responses.Value("202").Value.Headers, "Operation-Location")
}

// Every example is valid against the schema that it is an example of.
func TestOpenAPI_ExamplesAreValid(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths      map[string]map[string]operationDoc
		Components struct{ Responses map[string]responseDoc }
	}
	require.NoError(t, json.Unmarshal(wire.OpenAPI(), &doc))
	checked := 0
	check := func(where string, r responseDoc) {
		media, ok := r.Content["application/json"]
		if !ok {
			return
		}
		require.NotEmpty(t, media.Examples, where)
		for name, e := range media.Examples {
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Value))
			require.NoError(t, err)
			schema := strings.TrimPrefix(media.Schema.Ref, "#/components/schemas/")
			require.NoError(t, compileSchema(t, schema).Validate(value), "%s %s", where, name)
			checked++
		}
	}
	for path, item := range doc.Paths {
		for _, op := range item {
			check(path, op.RequestBody)
			for status, r := range op.Responses {
				check(path+" "+status, r)
			}
		}
	}
	for name, r := range doc.Components.Responses {
		check(name, r)
	}
	require.Greater(t, checked, 20)
}

type operationDoc struct {
	OperationID string `json:"operationId"`
	RequestBody responseDoc
	Responses   map[string]responseDoc
}

type responseDoc struct {
	Content map[string]struct {
		Schema struct {
			Ref string `json:"$ref"`
		}
		Examples map[string]struct{ Value json.RawMessage }
	}
}

// Every field says what it is, by itself or by the schema that it refers to.
func TestOpenAPI_EveryFieldIsExplained(t *testing.T) {
	t.Parallel()
	type schema struct {
		Ref         string `json:"$ref"`
		Description string
		Properties  map[string]json.RawMessage
	}
	var doc struct {
		Components struct{ Schemas map[string]schema }
	}
	require.NoError(t, json.Unmarshal(wire.OpenAPI(), &doc))
	for name, s := range doc.Components.Schemas {
		for field, raw := range s.Properties {
			var p schema
			require.NoError(t, json.Unmarshal(raw, &p))
			if p.Description == "" {
				p = doc.Components.Schemas[strings.TrimPrefix(p.Ref, "#/components/schemas/")]
			}
			require.NotEmpty(t, p.Description, "%s.%s", name, field)
		}
	}
}

// The schemas have the fields of the structs, in the same order; what may be
// left out is not required.
func TestOpenAPI_SchemasMatchStructs(t *testing.T) {
	t.Parallel()
	var doc struct {
		Components struct{ Schemas map[string]json.RawMessage }
	}
	require.NoError(t, json.Unmarshal(wire.OpenAPI(), &doc))
	for name, value := range map[string]any{
		"ResourceOperation": wire.ResourceOperation{}, "ResourceOperationRead": wire.ResourceOperationRead{}, "ResourceOperationLog": wire.Log{},
		"Waiting": wire.Waiting{}, "UserRead": wire.UserRead{}, "ConnectionRead": wire.ConnectionRead{}, "TspIntegrationsRead": wire.TSPIntegrationsRead{},
		"UserReadPage": wire.Page[wire.UserRead]{}, "ValidationErrorDetail": wire.FaultDetail{}, "TooManyRequests": wire.RetryError{},
		"RetryAfterDetail": wire.RetryDetail{}, "UnprocessableEntity": wire.ValidationError{}, "InternalServerError": wire.InternalError{},
		"Conflict": wire.SimpleError{}, "DryRun": wire.DryRun{}, "DryRunRequest": wire.DryRunRequest{}, "WriteSupport": wire.WriteSupport{},
		"UserWriteSupport": wire.UserWriteSupport{}, "CreateSupport": wire.CreateSupport{}, "FieldSupport": wire.FieldSupport{},
		"Webhook": wire.Webhook{}, "WebhookRead": wire.WebhookRead{}, "WebhookMetrics": wire.WebhookMetrics{}, "TimePeriodMetric": wire.TimePeriodMetric{},
		"WebhookLogRead": wire.WebhookLogRead{}, "WebhookReplay": wire.WebhookReplay{}, "EventSchema": wire.EventSchema{}, "OperationEvent": wire.OperationEvent{},
	} {
		var schema struct {
			Properties json.RawMessage
			Required   []string
		}
		require.NoError(t, json.Unmarshal(doc.Components.Schemas[name], &schema))
		var fields, always []string
		for f := range reflect.TypeOf(value).Fields() {
			tag, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields = append(fields, tag)
			if rest == "" {
				always = append(always, tag)
			}
		}
		require.Equal(t, fields, keysOf(t, schema.Properties), name)
		if !strings.HasSuffix(name, "Page") {
			require.Equal(t, always, schema.Required, name)
		}
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	doc := loadSpec(t, wire.OpenAPI())
	seen := map[string]bool{}
	for _, r := range wire.Routes() {
		require.False(t, seen[r.OperationID], r.OperationID)
		seen[r.OperationID] = true
		require.NotNil(t, doc.Paths.Find(r.Path).GetOperation(r.Method), r.Path)
	}
	require.Len(t, seen, 26)
	require.Equal(t, wire.Routes(), wire.Routes())
	for _, r := range wire.Routes() {
		if r.Scopes != nil {
			r.Scopes[0] = "changed"
		}
	}
	require.Equal(t, []string{wire.ScopeTelematicsWrite}, wire.Routes()[0].Scopes, "the table must not be shared")
	require.Nil(t, wire.Routes()[len(seen)-1].Scopes, "any valid token")
}

func TestDocsPage(t *testing.T) {
	t.Parallel()
	page := string(wire.DocsPage())
	require.Equal(t, page, string(wire.DocsPage()))
	for _, r := range wire.Routes() {
		require.Contains(t, page, `id="`+r.OperationID+`"`)
		require.Contains(t, page, "<code>"+r.Path+"</code>")
	}
	for _, spec := range operation.UserFields {
		require.Contains(t, page, "<code>"+string(spec.Name)+"</code>")
	}
	for _, status := range []int{400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 501, 503, 504} {
		require.Contains(t, page, "<h4>"+strconv.Itoa(status)+" ")
	}
	require.Contains(t, page, "Invalid Request Body")
	require.Contains(t, page, "<td><code>Idempotency-Key</code></td><td>header</td>")
	require.Contains(t, page, "cancel_requested")
	// Nothing that a strict policy would block, and no link that leads nowhere.
	for _, bad := range []string{"<script", "<img", "<link", "src=", `="http`, "style=", "onclick", "url(", "ZgotmplZ", "{{"} {
		require.NotContains(t, page, bad)
	}
	for _, part := range strings.Split(page, `href="#`)[1:] {
		target, _, _ := strings.Cut(part, `"`)
		require.Contains(t, page, `id="`+target+`"`, "a link leads nowhere")
	}
}
