package wire

import (
	"net/http"
	"slices"
)

// The scopes of webhooks.
const (
	ScopeWebhookRead   = "webhook:read"
	ScopeWebhookCreate = "webhook:create"
	ScopeWebhookUpdate = "webhook:update"
	ScopeWebhookDelete = "webhook:delete"
)

const (
	tagWebhooks = "Webhooks"
	tagSchemas  = "Event schemas"

	webhooksPath = "/v2/notifications/webhooks"
	webhookPath  = webhooksPath + "/{webhook_id}"
	schemaPath   = "/v2/notifications/schemas/{event_name}"
)

var (
	webhookIDParam = parameter{"webhook_id", true, uuidSchema, "Id of the webhook."}
	eventNameParam = parameter{"event_name", true, textSchema, "The event, such as resource_operation.succeeded."}
	versionParam   = parameter{"version", true, textSchema, "The version, such as " + EnvelopeVersion + "."}
	logStatus      = object{{"anyOf", []object{{{"type", "string"}, {"enum", WebhookLogStatuses}}, {{"type", "null"}}}}}
)

var webhookFilters = []parameter{
	{"event_name", false, nullable(ref("WebhookEventNameEnum")), "Only webhooks of this event, or of a name that ends in `.*`: of each event that it stands for."},
	{"status", false, nullable(ref("WebhookStatusEnum")), "Only webhooks with this status. Deleted ones are listed for 14 days, and only if asked for."},
}

var webhookLogFilters = []parameter{
	{"start_date", false, nullable(timeSchema), "Start of the window, inclusive. Logs are kept for 14 days."},
	{"end_date", false, nullable(timeSchema), "End of the window, exclusive."},
	{"status", false, logStatus, "Only sends that ended so."},
}

const replayExtension = " An extension of the contract."

var replayFilters = []parameter{
	{"start_date", false, nullable(timeSchema), "Start of the window, inclusive." + replayExtension},
	{"end_date", false, nullable(timeSchema), "End of the window, exclusive." + replayExtension},
	{"status", false, logStatus, "failed: also what your endpoint refused. success: what had arrived. Absent: dead letters." + replayExtension},
	{"message_ids", false, nullable(list(uuidSchema)), "Events by id; repeat the key for each." + replayExtension},
}

// tailEndpoint is the live tail. An extension of the contract.
var tailEndpoint = endpoint{
	Route: Route{http.MethodGet, "/v2/integrations/connections/resource-operations/events", "tail_resource_operations", []string{ScopeOperationRead}},
	tag:   tagOperations, summary: "Follow resource operations",
	text: "Your events as they happen, as server-sent events, until you hang up or your token ends. Each has the name of the event, an " +
		"OperationEvent as its data, and an id to go on from: browsers send it as Last-Event-ID by themselves. An event may be told more " +
		"than once; its data's id is the same each time. Operations with `is_sync=true` make none. A comment every 15 seconds keeps the " +
		"connection open. An event `gap` says that there were more events than can be told again: list the operations of that time. An event " +
		"`end` with a code and a message is the last one. At most 10 streams at a time. An extension of the contract.",
	params: []parameter{lastEventParam}, headerParams: []object{lastEventHeader},
	success: "OperationEvent", media: "text/event-stream",
}

var lastEventParam = parameter{
	"last_event_id", false, nullable(filledSchema),
	"The id of the last event that you saw, for clients that cannot send the header Last-Event-ID. Absent: from now on.",
}

var lastEventHeader = headerParam("Last-Event-ID", false, textSchema, "The same as last_event_id, and goes before it.")

// notificationEndpoints are those of webhooks and their events.
var notificationEndpoints = []endpoint{
	{
		Route: Route{http.MethodGet, webhooksPath, "list_webhook_subscriptions", []string{ScopeWebhookRead}},
		tag:   tagWebhooks, summary: "List webhooks",
		text:    "Your webhooks.",
		params:  slices.Concat(webhookFilters, pageParams),
		success: pageName("WebhookRead"),
	},
	{
		Route: Route{http.MethodPost, webhooksPath, "create_webhook_subscription", []string{ScopeWebhookCreate}},
		tag:   tagWebhooks, summary: "Create a webhook",
		text: "Has events sent to your endpoint from now on. An event name that ends in `.*` makes one webhook for each event, and the answer " +
			"is a list. This answer is the only one with the secret in clear. A second webhook with the same event, URL and filters is refused with 409.",
		body: "WebhookCreate", success: "WebhookCreated", limited: true, callbacks: deliveries,
	},
	{
		Route: Route{http.MethodGet, webhookPath, "get_webhook_subscription", []string{ScopeWebhookRead}},
		tag:   tagWebhooks, summary: "Get a webhook",
		text:   "One webhook.",
		params: []parameter{webhookIDParam}, success: "WebhookRead",
	},
	{
		Route: Route{http.MethodPatch, webhookPath, "update_webhook_subscription", []string{ScopeWebhookUpdate}},
		tag:   tagWebhooks, summary: "Update a webhook",
		text:   "Changes the given fields. The event cannot be changed, and the status only by activate and pause.",
		params: []parameter{webhookIDParam}, body: "WebhookUpdate", success: "WebhookRead", limited: true,
	},
	{
		Route: Route{http.MethodDelete, webhookPath, "delete_webhook_subscription", []string{ScopeWebhookDelete}},
		tag:   tagWebhooks, summary: "Delete a webhook",
		text:   "Ends a webhook. Nothing more is sent, not even what waits.",
		params: []parameter{webhookIDParam}, status: http.StatusNoContent, limited: true,
	},
	{
		Route: Route{http.MethodPost, webhookPath + "/activate", "activate_webhook_subscription", []string{ScopeWebhookUpdate}},
		tag:   tagWebhooks, summary: "Activate a webhook",
		text:   "Makes a paused or stale webhook active. Events that waited are delivered.",
		params: []parameter{webhookIDParam}, success: "WebhookRead", limited: true,
	},
	{
		Route: Route{http.MethodPost, webhookPath + "/pause", "pause_webhook_subscription", []string{ScopeWebhookUpdate}},
		tag:   tagWebhooks, summary: "Pause a webhook",
		text:   "Stops deliveries. New events wait, each for 72 hours at most. A stale webhook stays stale.",
		params: []parameter{webhookIDParam}, success: "WebhookRead", limited: true,
	},
	{
		Route: Route{http.MethodGet, webhookPath + "/metrics", "get_webhook_subscription_metrics", []string{ScopeWebhookRead}},
		tag:   tagWebhooks, summary: "Get a webhook's metrics",
		text:   "How deliveries went, by period.",
		params: []parameter{webhookIDParam}, success: "WebhookMetrics",
	},
	{
		Route: Route{http.MethodGet, webhookPath + "/logs", "get_webhook_subscription_logs", []string{ScopeWebhookRead}},
		tag:   tagWebhooks, summary: "Get a webhook's log",
		text:    "The sends of the last 14 days, the newest first.",
		params:  slices.Concat([]parameter{webhookIDParam}, webhookLogFilters, pageParams),
		success: pageName("WebhookLogRead"),
	},
	{
		Route: Route{http.MethodPost, webhookPath + "/replay", "replay_undelivered_messages_from_dlq", []string{ScopeWebhookCreate}},
		tag:   tagWebhooks, summary: "Replay messages",
		text: "Sends dead letters once more, at most 10,000 at a time, with the ids that they had. Without parameters: all of them. Where the " +
			"webhook is not active they wait like all others.",
		params:  slices.Concat([]parameter{webhookIDParam}, replayFilters),
		success: "WebhookReplay", status: http.StatusAccepted, limited: true,
	},
	{
		Route: Route{http.MethodGet, schemaPath, "get_event_schema", nil},
		tag:   tagSchemas, summary: "Get an event's schema",
		text:   "The newest schema of the body that is sent to webhooks of an event.",
		params: []parameter{eventNameParam}, success: "EventSchema",
	},
	{
		Route: Route{http.MethodGet, schemaPath + "/versions/{version}", "get_event_schema_versions", nil},
		tag:   tagSchemas, summary: "Get a version of an event's schema",
		text:   "The same, of one version.",
		params: []parameter{eventNameParam, versionParam}, success: "EventSchema",
	},
}
