package wire

import (
	"slices"
	"strings"
	"time"

	"writeback/pkg/operation"
)

// EnvelopeVersion is the only version of the envelope so far.
const EnvelopeVersion = "1.0"

// envelopeTime is when that version was made.
var envelopeTime = time.Date(2026, time.November, 24, 0, 0, 0, 0, time.UTC)

// told are the events that are really sent, with the schema of their data.
var told = []struct{ event, schema, data, text string }{
	{eventCreated, "ResourceOperationCreatedEvent", "ResourceOperationRead", "An operation was accepted."},
	{eventSucceeded, "ResourceOperationSucceededEvent", "ResourceOperationRead", "An operation was written."},
	{eventFailed, "ResourceOperationFailedEvent", "ResourceOperationRead", "An operation ended without."},
	{eventStaled, "WebhookStaledEvent", "WebhookStaled", "A webhook of yours was given up."},
}

// ToldEvents lists the events that have a schema: those that are really sent.
func ToldEvents() []string {
	out := make([]string, 0, len(told))
	for _, e := range told {
		out = append(out, e.event)
	}
	return out
}

// UnsentEvent is the fault of a new webhook's event under whose name nothing is ever sent,
// be it one of the contract's or not.
func UnsentEvent(name string) operation.Fault {
	return operation.Fault{
		Path: "body.event_name", Input: clip(name), Type: typeEnum,
		Message: "no event of this name is sent; there are " + strings.Join(ToldEvents(), ", ") + ", and resource_operation.*",
	}
}

// EventSchemaOf gives the schema of an event's envelope, and false for an event that
// is never sent or a version that there is not. An empty version is the newest.
func EventSchemaOf(event, version string) (EventSchema, bool) {
	if version != "" && version != EnvelopeVersion {
		return EventSchema{}, false
	}
	for _, e := range told {
		if e.event == event {
			return EventSchema{
				EventName: event, Version: EnvelopeVersion, CreatedAt: envelopeTime,
				OpenAPISchema: string(standalone(e.schema).append(nil)), Changelog: initialChangelog,
			}, true
		}
	}
	return EventSchema{}, false
}

const initialChangelog = "Initial schema version"

// eventSchemas are the components of the envelopes.
func eventSchemas() object {
	var out object
	for _, e := range told {
		out = append(out, member{e.schema, structSchema(e.text+" The body of a webhook.", envelopeProperties(e.event, e.data))})
	}
	return out
}

// envelopeProperties describe the envelope, in the order in which it is written.
func envelopeProperties(event, data string) []property {
	name := object{{"type", "string"}, {"const", event}, {"default", event}}
	return []property{
		{"version", versionSchema, true, "Version of the envelope: major.minor."},
		{"id", uuidSchema, true, "Id of the event: the same in every attempt and every replay."},
		{"event_name", name, true, "The event."},
		{"webhook_id", uuidSchema, true, "The subscription."},
		{"timestamp", timeSchema, true, "When it happened."},
		{"delivery_attempt", withDefault(intSchema, 0), true, "Counts the sends of this delivery, from 1."},
		{"data", arrayOf(ref(data)), true, "What it is about: one entry."},
	}
}

var versionSchema = object{{"type", "string"}, {"pattern", `^\d+\.\d+$`}}

// operationEventProperties describe OperationEvent, in its order.
func operationEventProperties() []property {
	name := enumSchema("What happened.", []string{eventCreated, eventSucceeded, eventFailed})
	return []property{
		{"version", versionSchema, true, "Version of the envelope: major.minor."},
		{"id", uuidSchema, true, "Id of the event: the same as in webhooks, and each time that it is told."},
		{"event_name", name, true, ""},
		{"timestamp", timeSchema, true, "When it happened."},
		{"data", arrayOf(ref("ResourceOperationRead")), true, "What it is about: one operation."},
	}
}

// deliveries are the requests that are made to a webhook. They are callbacks of its
// creation and no webhooks of the document, of which generators of clients leave out the schemas.
func deliveries() object {
	var out object
	for _, e := range told {
		post := object{
			{"operationId", "receive_" + strings.ReplaceAll(e.event, ".", "_")},
			{"summary", e.text},
			{"description", "Sent to webhooks of this event, compressed with gzip. Check one of the two signatures."},
			{"security", []object{}},
			{"parameters", deliveryHeaders},
			{"requestBody", object{{"required", true}, {"content", content(ref(e.schema), nil)}}},
			{"responses", object{
				{"2XX", object{{"description", "The event has arrived. Anything else, or nothing within three seconds, is a failure."}}},
			}},
		}
		out = append(out, member{e.event, object{{"{$request.body#/url}", object{{"post", post}}}}})
	}
	return out
}

var deliveryHeaders = []object{
	headerParam("X-Catena-Signature", true, textSchema, "Base64 of HMAC-SHA256 over X-Catena-Timestamp, a dot and the body before compression. The key is the secret's bytes."),
	headerParam("X-Catena-Timestamp", true, timeSchema, "When it was sent."),
	headerParam("webhook-id", true, uuidSchema, "The body's `id`. This and the next two are those of Standard Webhooks."),
	headerParam("webhook-timestamp", true, textSchema, "When it was sent, in seconds since 1970."),
	headerParam("webhook-signature", true, textSchema, "`v1,` and base64 of HMAC-SHA256 over id, dot, seconds, dot and body; two, with a space between, for 24 hours after a change of the secret."),
	headerParam("X-Event-Type", true, textSchema, "The event."),
	headerParam("X-Schema-Version", true, textSchema, "Version of the envelope."),
	headerParam("X-Webhook-ID", true, uuidSchema, "The subscription."),
	headerParam("X-Delivery-Attempt", true, intSchema, "As `delivery_attempt` in the body."),
	headerParam("X-Request-ID", true, uuidSchema, "New for each attempt."),
	headerParam("X-Source", true, textSchema, "Always catena-notifications."),
}

// standalone is one component as a schema of its own, with all that it refers to.
func standalone(name string) object {
	all, defs := schemas(), object(nil)
	for todo := []string{name}; len(todo) > 0; todo = todo[1:] {
		if defs.index(todo[0]) >= 0 {
			continue
		}
		schema, more := localRefs(all.get(todo[0]))
		defs = append(defs, member{todo[0], schema})
		todo = append(todo, more...)
	}
	return object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$ref", localPrefix + name},
		{"$defs", defs},
	}
}

const (
	componentPrefix = "#/components/schemas/"
	localPrefix     = "#/$defs/"
)

// localRefs is the schema with its references turned to definitions beside it, and
// the names that it refers to.
func localRefs(v any) (any, []string) {
	var names []string
	switch v := v.(type) {
	case object:
		out := slices.Clone(v)
		for i, m := range out {
			if text, ok := m.value.(string); ok && m.name == "$ref" {
				name := strings.TrimPrefix(text, componentPrefix)
				out[i].value, names = localPrefix+name, append(names, name)
				continue
			}
			value, more := localRefs(m.value)
			out[i].value, names = value, append(names, more...)
		}
		return out, names
	case []object:
		out := slices.Clone(v)
		for i, o := range out {
			value, more := localRefs(o)
			out[i], _ = value.(object)
			names = append(names, more...)
		}
		return out, names
	}
	return v, nil
}
