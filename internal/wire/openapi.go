package wire

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// documentVersion is the version of the API that the document describes.
const documentVersion = "0.1.0"

const documentText = "Writeback takes an update of a fleet's user in one format and writes it to the telematics provider that the " +
	"fleet uses. Every accepted write is a resource operation, whose status and attempt log can be read at any time.\n\n" +
	"All ids are UUIDs. All times are RFC 3339 in UTC, with microseconds at most. Requests and answers are JSON."

// OpenAPI is the OpenAPI 3.1 document of the API, as indented JSON. It is made
// from the field table and the route table at each call and is always the same.
func OpenAPI() []byte {
	var out bytes.Buffer
	if err := json.Indent(&out, document().append(nil), "", "  "); err != nil {
		return nil // the document is JSON by construction
	}
	out.WriteByte('\n')
	return out.Bytes()
}

func document() object {
	return object{
		{"openapi", "3.1.0"},
		{"info", object{
			{"title", "Writeback API"},
			{"version", documentVersion},
			{"description", documentText},
		}},
		{"servers", []object{{{"url", "/"}}}},
		{"tags", []object{
			{{"name", tagUsers}, {"description", "Drivers and office users of your fleets."}},
			{{"name", tagOperations}, {"description", "What was asked for, what became of it, and every attempt."}},
			{{"name", tagConnections}, {"description", "A fleet at a provider."}},
			{{"name", tagProviders}, {"description", "Telematics providers and what is supported of them."}},
			{{"name", tagWebhooks}, {"description", "Your endpoints that are told of events."}},
			{{"name", tagSchemas}, {"description", "What is sent to webhooks."}},
		}},
		{"paths", paths()},
		{"components", object{
			{"schemas", schemas()},
			{"responses", errorResponses()},
			{"headers", headers()},
			{"securitySchemes", securitySchemes()},
		}},
	}
}

// paths groups the endpoints by path, in the order of the route table.
func paths() object {
	var out object
	for _, e := range endpoints {
		item, _ := out.get(e.Path).(object)
		item = append(item, member{strings.ToLower(e.Method), e.object()})
		if i := out.index(e.Path); i >= 0 {
			out[i].value = item
			continue
		}
		out = append(out, member{e.Path, item})
	}
	return out
}

func (e endpoint) object() object {
	scopes := e.Scopes
	if scopes == nil {
		scopes = []string{}
	}
	params := make([]object, 0, len(e.params))
	for _, p := range e.params {
		params = append(params, p.object())
	}
	if e.keyed {
		params = append(params, keyParam)
	}
	params = append(params, e.headerParams...)
	out := object{
		{"operationId", e.OperationID},
		{"tags", []string{e.tag}},
		{"summary", e.summary},
		{"description", e.text},
		{"security", []object{{{"Bearer", scopes}}}},
		{"parameters", params},
	}
	if e.body != "" {
		out = append(out, member{"requestBody", object{
			{"required", true},
			{"content", lines(content(ref(e.body), requestExamples(e.body)), e.bodyLines)},
		}})
	}
	out = append(out, member{"responses", e.responses()})
	if e.callbacks != nil {
		out = append(out, member{"callbacks", e.callbacks()})
	}
	return out
}

// responses lists every answer of the endpoint: successes, then refusals.
func (e endpoint) responses() object {
	var out object
	answer := func(status int, text string, examples object) {
		response := object{{"description", text}, {"headers", headerRefs(e.headers(status))}}
		switch {
		case e.media != "":
			response = append(response, member{"content", object{{e.media, object{{"schema", textSchema}}}}})
		case e.success != "":
			response = append(response, member{"content", lines(content(ref(e.success), examples), e.successLines)})
		}
		out = append(out, member{strconv.Itoa(status), response})
	}
	switch {
	case e.write:
		answer(http.StatusOK, "The provider took the write (is_sync=true), or what it would be sent (dry_run=true).", dryRunExamples(e.of(exampleSucceeded())))
		answer(http.StatusAccepted, "The write is accepted and queued.", one("pending", WriteView(e.of(examplePending()))))
		answer(http.StatusBadGateway, "The provider refused the write or did not answer (is_sync=true).", one("failed", WriteView(e.of(exampleFailed()))))
	case e.queued:
		answer(http.StatusAccepted, "The write is accepted and queued.", one("pending", WriteView(examplePending())))
	case e.examples != nil:
		answer(http.StatusOK, http.StatusText(http.StatusOK), e.examples())
	case e.status != 0:
		answer(e.status, http.StatusText(e.status), answerExamples(e.success))
	default:
		answer(http.StatusOK, http.StatusText(http.StatusOK), answerExamples(e.success))
	}
	for _, status := range e.refusals() {
		out = append(out, member{strconv.Itoa(status), object{{"$ref", "#/components/responses/" + errorNames[status]}}})
	}
	return out
}

// headers are those that a success of the endpoint tells more by.
func (e endpoint) headers(status int) []string {
	var names []string
	if e.write || e.queued {
		names = append(names, "Location", "Operation-Location")
	}
	if e.success == "ResourceOperationRead" || status == http.StatusAccepted && (e.write || e.queued) {
		names = append(names, "Retry-After")
	}
	if e.keyed {
		names = append(names, "Idempotency-Replayed")
	}
	if e.limited {
		names = append(names, "RateLimit", "RateLimit-Policy")
	}
	return append(names, everywhere...)
}

func headerRefs(names []string) object {
	var out object
	for _, name := range names {
		out = append(out, member{name, object{{"$ref", "#/components/headers/" + name}}})
	}
	return out
}

// refusals are the statuses of the refusals that the endpoint can give.
func (e endpoint) refusals() []int {
	out := append([]int{400, 401, 403, 404, 405, 409, 422, 429, 500, 503}, e.errors...)
	if e.body != "" {
		out = append(out, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	slices.Sort(out)
	return out
}

func content(schema, examples object) object {
	media := object{{"schema", schema}}
	if len(examples) > 0 {
		media = append(media, member{"examples", examples})
	}
	return object{{"application/json", media}}
}

// lines adds the form of one JSON value a line, if there is one. The whole of it is
// no JSON, so its schema is that of a text.
func lines(content object, schema string) object {
	if schema == "" {
		return content
	}
	text := append(slices.Clone(textSchema), member{"description", "Lines, each of them a " + schema + "."})
	return append(content, member{MediaLines, object{{"schema", text}}})
}

// refusalTexts say when a refusal is given.
var refusalTexts = map[int]string{
	http.StatusBadRequest:            "The body is not one JSON object, there is nothing to update, or the cursor is not one of ours.",
	http.StatusUnauthorized:          "The token is missing, expired or not ours.",
	http.StatusForbidden:             "The token lacks the scope, or the fleet shares its data for reading only.",
	http.StatusNotFound:              "There is no such thing, or it is not yours.",
	http.StatusMethodNotAllowed:      "The path does not have this method.",
	http.StatusRequestTimeout:        "The body did not come in time.",
	http.StatusConflict:              "The state of the connection, or an earlier operation, stands against it.",
	http.StatusRequestEntityTooLarge: "The body is too large.",
	http.StatusUnsupportedMediaType:  "The body has another Content-Type, or is encoded.",
	http.StatusUnprocessableEntity:   "The input has faults; all of them are listed.",
	http.StatusTooManyRequests:       "Too many requests; the body and the Retry-After header say when to come back.",
	http.StatusInternalServerError:   "An error on our side.",
	http.StatusNotImplemented:        "The provider cannot do this, or we cannot do it there yet.",
	http.StatusServiceUnavailable:    "We cannot do this just now; nothing was accepted unless the body names an operation, which then says what became of it.",
	http.StatusGatewayTimeout:        "A part of ours did not answer in time.",
}

// refusalOrder is the document's order of the refusals.
var refusalOrder = []int{400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 501, 503, 504}

func errorResponses() object {
	var out object
	for _, status := range refusalOrder {
		response := object{{"description", refusalTexts[status]}}
		names := slices.Concat(refusalHeaders[status], []string{"RateLimit", "RateLimit-Policy"}, everywhere)
		response = append(response, member{"headers", headerRefs(names)})
		name := errorNames[status]
		response = append(response, member{"content", content(ref(name), one("refusal", exampleError(status)))})
		out = append(out, member{name, response})
	}
	return out
}

var refusalHeaders = map[int][]string{
	http.StatusUnauthorized:       {"WWW-Authenticate"},
	http.StatusForbidden:          {"WWW-Authenticate"},
	http.StatusMethodNotAllowed:   {"Allow"},
	http.StatusConflict:           {"Location", "Idempotency-Replayed"},
	http.StatusTooManyRequests:    {"Retry-After"},
	http.StatusServiceUnavailable: {"Retry-After", "Location"},
}

// HeaderTraceID is on every answer: the trace of the request.
const HeaderTraceID = "X-Trace-Id"

// everywhere are the headers of every answer.
var everywhere = []string{"X-Request-Id", HeaderTraceID}

func headers() object {
	header := func(text string) object { return object{{"description", text}, {"schema", textSchema}} }
	return object{
		{"Allow", header("The methods that the path has.")},
		{"Idempotency-Replayed", header("`true` when the answer is that of an earlier request under the same Idempotency-Key.")},
		{"Location", header("Where the operation is read. On a 503: only if the write may have been taken all the same. On a 409: only if an earlier request under the same Idempotency-Key is still being called.")},
		{"Operation-Location", header("The same as Location, for clients that look for a long-running operation there. An extension of the contract.")},
		{"RateLimit", header("On writes with a good token: what your rate leaves: `r` more now, all of it again in `t` seconds.")},
		{"RateLimit-Policy", header("On writes with a good token: your rate: `q` at once, refilled within `w` seconds.")},
		{"Retry-After", object{{"description", "Seconds until it is worth trying again, or reading again an operation that is pending."}, {"schema", intSchema}}},
		{"WWW-Authenticate", header("The Bearer challenge of RFC 6750. On a 403: only if the token lacks a scope.")},
		{"X-Request-Id", header("A name of this request: yours, if it came with a plain one of at most 128 characters. An extension of the contract.")},
		{HeaderTraceID, header("The W3C trace id of the request: yours, if it came with `traceparent`. Name it when you ask us about a request. An extension of the contract.")},
	}
}

func securitySchemes() object {
	const token = "/realms/catena/protocol/openid-connect/token"
	return object{{"Bearer", object{
		{"type", "oauth2"},
		{"description", "A JWT of the configured issuer, sent as `Authorization: Bearer`. The token URL is that of the development " +
			"stack; elsewhere it is at the issuer."},
		{"flows", object{{"clientCredentials", object{
			{"tokenUrl", token}, {"refreshUrl", token}, {"scopes", scopeMeanings},
		}}}},
	}}}
}
