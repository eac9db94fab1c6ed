package wire_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

const batchUser = "00000000-0000-7000-8000-00000000a105"

// element is a good one with these members more.
func element(members string) string {
	return `{"user_id":"` + batchUser + `",` + withConnection(members)[1:]
}

func TestSplitBatch(t *testing.T) {
	t.Parallel()
	many := func(n int, joint string) string { return strings.Repeat("{}"+joint, n-1) + "{}" }
	for _, row := range []struct {
		name, media, body string
		want              []string
		refusal           string
	}{
		{"array", wire.MediaJSON, ` [ {"a":[1]} , 7,"x" ,null]` + "\n", []string{`{"a":[1]}`, "7", `"x"`, "null"}, ""},
		{"lines", wire.MediaLines, "{\"a\":1}\r\n\n \t\n {\"b\":2} \n{", []string{`{"a":1}`, `{"b":2}`, "{"}, ""},
		{"lines, the last one ended", wire.MediaLines, "{}\n", []string{"{}"}, ""},
		{"faults inside of elements", wire.MediaJSON, `[{"a":1,"a":2},"` + "\xff" + `",{}]`, []string{`{"a":1,"a":2}`, "\"\xff\"", "{}"}, ""},
		{"nothing", wire.MediaJSON, " ", nil, "empty"},
		{"no lines", wire.MediaLines, "\n \n", nil, "no element"},
		{"empty array", wire.MediaJSON, "[]", nil, "no element"},
		{"an object", wire.MediaJSON, "{}", nil, "not a JSON array"},
		{"lines as JSON", wire.MediaJSON, "{}\n{}", nil, "not a JSON array"},
		{"cut off", wire.MediaJSON, `[{},{`, nil, "not valid JSON"},
		{"more behind it", wire.MediaJSON, `[{}] x`, nil, "after the JSON array"},
		{"deep", wire.MediaJSON, strings.Repeat("[", 100_000), nil, "not valid JSON"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.SplitBatch([]byte(row.body), row.media)
			if row.refusal != "" {
				e := asError(t, err)
				require.Equal(t, operation.CodeBadRequest, e.Code)
				require.Contains(t, e.Message, row.refusal)
				return
			}
			require.NoError(t, err)
			var texts []string
			for _, one := range got {
				texts = append(texts, string(one))
			}
			require.Equal(t, row.want, texts)
		})
	}
	for media, forms := range map[string][2]string{
		wire.MediaJSON:  {"[" + many(1000, ",") + "]", "[" + many(1001, ",") + "]"},
		wire.MediaLines: {many(1000, "\n"), many(1001, "\n")},
	} {
		got, err := wire.SplitBatch([]byte(forms[0]), media)
		require.NoError(t, err)
		require.Len(t, got, wire.MaxBatch)
		_, err = wire.SplitBatch([]byte(forms[1]), media)
		e := asError(t, err)
		require.Equal(t, operation.CodeInvalid, e.Code)
		require.Equal(t, []operation.Fault{{Path: "body", Message: "has more than 1000 elements", Type: "too_long"}}, e.Faults)
	}
}

func TestDecodeBatchUpdate(t *testing.T) {
	t.Parallel()
	got, err := wire.DecodeBatchUpdate([]byte(element(`"notes":"a","idempotency_key":"row-7"`)), wire.DecodeOptions{Strict: true})
	require.NoError(t, err)
	require.Equal(t, wire.BatchUpdate{
		UserID: uuid.MustParse(batchUser), Key: "row-7",
		UserWrite: wire.UserWrite{
			ConnectionID: uuid.MustParse(connection), Changes: operation.Changes{operation.FieldNotes: operation.Text("a")},
		},
	}, got)
	for _, fine := range []string{`"notes":"a","idempotency_key":null`, `"notes":"a","is_sync":false,"dry_run":false`} {
		got, err := wire.DecodeBatchUpdate([]byte(element(fine)), wire.DecodeOptions{Strict: true})
		require.NoError(t, err, fine)
		require.Empty(t, got.Key)
	}
	for body, want := range map[string][]string{
		withConnection(`"notes":"a"`):                                   {"body.user_id missing"},
		`{"user_id":"x","notes":7}`:                                     {"body.user_id uuid_parsing", "body.notes string_type", "body.connection_id missing"},
		element(`"notes":"a","idempotency_key":""`):                     {"body.idempotency_key string_pattern_mismatch"},
		element(`"notes":"a","idempotency_key":"a b"`):                  {"body.idempotency_key string_pattern_mismatch"},
		element(`"notes":"a","idempotency_key":7`):                      {"body.idempotency_key string_pattern_mismatch"},
		element(`"notes":"a","is_sync":true,"dry_run":null`):            {"body.is_sync extra_forbidden", "body.dry_run extra_forbidden"},
		element(`"idempotency_key":"` + strings.Repeat("k", 256) + `"`): {"body.idempotency_key string_pattern_mismatch"},
	} {
		_, err := wire.DecodeBatchUpdate([]byte(body), wire.DecodeOptions{})
		e := asError(t, err)
		require.Equal(t, operation.CodeInvalid, e.Code, body)
		var faults []string
		for _, f := range e.Faults {
			faults = append(faults, f.Path+" "+f.Type)
		}
		require.Equal(t, want, faults, body)
	}
	for _, body := range []string{element(`"idempotency_key":"k"`), "", "7", element(`"notes":"a","user_id":"` + batchUser + `"`), element(`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40))} {
		_, err := wire.DecodeBatchUpdate([]byte(body), wire.DecodeOptions{})
		require.Equal(t, operation.CodeBadRequest, asError(t, err).Code, body)
	}
	// The keys are those of a batch alone.
	_, err = wire.DecodeUserUpdate([]byte(element(`"notes":"a"`)), wire.DecodeOptions{Strict: true})
	require.Equal(t, "body.user_id", asError(t, err).Faults[0].Path)
}

// TestBatchResult_IsAsDocumented checks answers against the document's schemas.
func TestBatchResult_IsAsDocumented(t *testing.T) {
	t.Parallel()
	op := operation.Operation{
		Accepted: operation.Accepted{
			ID: uuid.Must(uuid.NewV7()), PartnerID: uuid.New(), ConnectionID: uuid.New(), Provider: "samsara",
			Resource: operation.ResourceUser, ResourceID: uuid.New(), SourceID: "7", Type: operation.Update,
			Changes: operation.Changes{operation.FieldNotes: operation.Null()},
		},
		Place: operation.Place{Seq: 1_780_000_000_000_000}, Status: operation.Pending,
	}
	items := []wire.BatchResult{wire.BatchAccepted(0, op, true)}
	for i, status := range []int{400, 403, 404, 409, 413, 422, 429, 500, 501, 503} {
		items = append(items, wire.BatchRefused(i+1, status, &operation.Error{Message: "no", Faults: []operation.Fault{{Path: "body.x"}}}))
	}
	text, err := json.Marshal(wire.BatchAnswer{Items: items})
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	require.NoError(t, compileSchema(t, "UserBatchAnswer").Validate(value))
	require.Contains(t, string(text), `{"index":6,"status":422,"error":{"code":422,`)
	require.Contains(t, string(text), `"retry_after_seconds":1}`)
}

// FuzzBatch: whatever arrives is refused, or cut into elements that are whole, and what
// is accepted of them is what the decoder of a single update accepts.
func FuzzBatch(f *testing.F) {
	for _, seed := range []string{
		"", "[]", "[[", "[{},{}]", "{}\n{}", "[" + element(`"notes":"a"`) + "]", element(`"notes":"\ud800"`) + "\n\r\n" + element(`"a":1,"a":2`),
		`[{"idempotency_key":"k","user_id":null}, 7]`, "[\"\xff\"]", "[1,]", `["a":1]`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		media := wire.MediaJSON
		if lines {
			media = wire.MediaLines
		}
		before := bytes.Clone(body)
		elements, err := wire.SplitBatch(body, media)
		if err != nil {
			e := asError(t, err)
			require.Contains(t, []operation.Code{operation.CodeBadRequest, operation.CodeInvalid}, e.Code)
			return
		}
		require.NotEmpty(t, elements)
		require.LessOrEqual(t, len(elements), wire.MaxBatch)
		for _, one := range elements {
			require.Equal(t, bytes.Trim(one, " \t\r\n"), one)
			got, err := wire.DecodeBatchUpdate(one, wire.DecodeOptions{})
			single, alone := wire.DecodeUserUpdate(one, wire.DecodeOptions{})
			if err == nil {
				require.NoError(t, alone)
				require.Equal(t, single, got.UserWrite)
				continue
			}
			e := asError(t, err)
			require.Contains(t, []operation.Code{operation.CodeBadRequest, operation.CodeInvalid}, e.Code)
		}
		require.Equal(t, before, body, "the body is not changed")
	})
}
