package wire

// webhookSchemas are the components of webhooks.
func webhookSchemas() object {
	out := object{
		// Both come before what has them together: some generators keep this order.
		{"WebhookEventNameEnum", enumSchema("The contract's events. Sent are those of resource operations, and webhook.staled; a webhook for any other is refused.", WebhookEventNames)},
		{"WebhookCatchAllEvents", enumSchema("All events of a kind. A webhook is created for each that is sent.", webhookFamilies)},
		{"WebhookCreate", structSchema("A new webhook.", webhookCreateProperties())},
		{"WebhookUpdate", structSchema("What to change of a webhook. At least one field must be there. Null filters select all fleets; "+
			"a URL, secret or schedule that is null or absent stays as it is.", webhookUpdateProperties())},
		{"WebhookFilters", structSchema("Which fleets to tell of: those that are named, by id or by your own name for them. Without any, all. A filter of another name is refused.", webhookFilterProperties())},
		{"Webhook", structSchema("A webhook as it was created. Keep the secret: it is never shown again.", webhookProperties())},
		{"WebhookCreated", object{
			{"description", "One Webhook, or a list with one for each event if the event name ends in `.*`."},
			{"anyOf", []object{ref("Webhook"), arrayOf(ref("Webhook"))}},
		}},
		{"WebhookRead", structSchema("A webhook. Its secret is masked, and so are the end of its URL's path and its query.", webhookReadProperties())},
		{"WebhookMetrics", structSchema("What was sent to a webhook, to the hour.", webhookMetricsProperties())},
		{"TimePeriodMetric", structSchema("One number for each period up to now.", timePeriodProperties())},
		{"WebhookLogRead", structSchema("One send.", webhookLogProperties())},
		{"WebhookReplay", structSchema("How much is on its way again.", []property{
			{"message_count", intSchema, true, "Messages that are delivered once more."},
		})},
		{"WebhookStaled", structSchema("The webhook that was given up.", webhookStaledProperties())},
		{"EventSchema", structSchema("The schema of an event's envelope.", eventSchemaProperties())},
		{"OperationEvent", structSchema("One event of the live tail. An extension of the contract.", operationEventProperties())},
	}
	out = append(out, eventSchemas()...)
	for _, item := range []string{"WebhookRead", "WebhookLogRead"} {
		out = append(out, member{pageName(item), pageSchema(item)})
	}
	return append(out,
		member{"WebhookStatusEnum", enumSchema("Only an active webhook is sent to. Events of a paused one wait; a stale one was given up because it failed.", WebhookStatuses)},
		member{"WebhookLogStatusEnum", enumSchema("How a send ended.", WebhookLogStatuses)},
		member{"WebhookScheduleEnum", enumSchema("How long a failing delivery is tried again: four sends within seconds, or nine within hours. An extension of the contract.", WebhookSchedules)},
	)
}

var webhookURLSchema = object{{"type", "string"}, {"minLength", 1}, {"maxLength", MaxWebhookURL}, {"format", "uri"}}

const scheduleText = "Default short. An extension of the contract."

func webhookCreateProperties() []property {
	name := object{{"anyOf", []object{ref("WebhookEventNameEnum"), ref("WebhookCatchAllEvents")}}}
	return []property{
		{"url", webhookURLSchema, true, "Where to send to: https, port 443 or 8443, at a public address."},
		{"filters", nullable(ref("WebhookFilters")), false, "Null: all fleets."},
		{"secret", nullable(textSchema), false, "What to sign with, 12 to 256 characters; after whsec_ only base64. Absent or null: one is made."},
		{"event_name", name, true, "The event to be told of, or all of a kind: one of those that are sent."},
		{"schedule", nullable(ref("WebhookScheduleEnum")), false, scheduleText},
	}
}

func webhookUpdateProperties() []property {
	secret := object{{"type", "string"}, {"minLength", MinWebhookSecret}} // the contract's schema has no upper bound
	return []property{
		{"url", nullable(webhookURLSchema), false, "Where to send to from now on."},
		{"filters", nullable(ref("WebhookFilters")), false, "Replaces the filters."},
		{"secret", nullable(secret), false, "What to sign with from now on, 12 to 256 characters; after whsec_ only base64. For 24 hours Standard Webhooks signatures are made with the one before, too."},
		{"schedule", nullable(ref("WebhookScheduleEnum")), false, "An extension of the contract."},
	}
}

// webhookFilterProperties describe WebhookFilters, in its order.
func webhookFilterProperties() []property {
	return []property{
		{"fleet_ids", nullable(arrayOf(uuidSchema)), false, "Fleets by id."},
		{"fleet_refs", nullable(arrayOf(textSchema)), false, "Fleets by your own name for them."},
	}
}

// webhookProperties describe Webhook, in its order.
func webhookProperties() []property {
	return []property{
		{"url", webhookURLSchema, true, "Where events are sent to."},
		{"filters", nullable(ref("WebhookFilters")), true, "Null: all fleets."},
		{"secret", nullable(textSchema), true, "What requests are signed with, in clear."},
		{"created_at", nullable(timeSchema), true, "When it was made."},
		{"updated_at", nullable(timeSchema), true, "When it last changed."},
		{"deleted_at", nullable(timeSchema), true, "Always null."},
		{"id", uuidSchema, true, "Id of the webhook."},
		{"partner_id", uuidSchema, true, "You."},
		{"status", withDefault(ref("WebhookStatusEnum"), "active"), true, ""},
		{"event_name", ref("WebhookEventNameEnum"), true, "The event that it is told of."},
		{"schedule", ref("WebhookScheduleEnum"), true, scheduleText},
	}
}

// webhookReadProperties describe WebhookRead, in its order.
func webhookReadProperties() []property {
	return []property{
		{"id", uuidSchema, true, "Id of the webhook."},
		{"url", object{}, true, "Where events are sent to, masked."},
		{"event_name", ref("WebhookEventNameEnum"), true, "The event that it is told of."},
		{"filters", nullable(ref("WebhookFilters")), true, "Null: all fleets."},
		{"secret", object{}, true, "Always masked."},
		{"status", ref("WebhookStatusEnum"), true, ""},
		{"created_at", timeSchema, true, "When it was made."},
		{"updated_at", timeSchema, true, "When it last changed."},
		{"schedule", ref("WebhookScheduleEnum"), true, scheduleText},
		{"stale_reason", textSchema, false, "Why it was given up. Only while stale. An extension of the contract."},
	}
}

// webhookStaledProperties describe the data of webhook.staled; see the package
// webhook, which writes it.
func webhookStaledProperties() []property {
	return []property{
		{"id", uuidSchema, true, "Id of the webhook."},
		{"partner_id", uuidSchema, true, "You."},
		{"url", textSchema, true, "Where events were sent to, masked."},
		{"event_name", ref("WebhookEventNameEnum"), true, ""},
		{"filters", nullable(ref("WebhookFilters")), true, "Null: all fleets."},
		{"secret", textSchema, true, "Always masked."},
		{"status", ref("WebhookStatusEnum"), true, ""},
		{"created_at", timeSchema, true, "When it was made."},
		{"updated_at", timeSchema, true, "When it last changed."},
		{"reason", textSchema, false, "Why it was given up. An extension of the contract."},
	}
}

// webhookMetricsProperties describe WebhookMetrics, in its order.
func webhookMetricsProperties() []property {
	period := ref("TimePeriodMetric")
	return []property{
		{"webhook_id", uuidSchema, true, "Id of the webhook."},
		{"http_attempts", period, true, "Requests made."},
		{"http_success_attempts", period, true, "Requests answered with 2xx."},
		{"http_failure_attempts", period, true, "All others."},
		{"message_count", period, true, "Events that arrived, were refused or were given up."},
		{"message_success_count", period, true, "Events that arrived."},
		{"success_rate", period, true, "Percent of the events that arrived. Null for fewer than 200 events."},
		{"avg_response_time_ms", period, true, "Null: there was no answer."},
		{"ewma_success_rate", nullable(object{{"type", "number"}}), true, "Moving average of success, 0 to 1, by which it is given up. Null: nothing was delivered yet."},
		{"dlq_count", intSchema, true, "Dead letters, which a replay sends again."},
	}
}

// timePeriodProperties describe TimePeriodMetric, in its order.
func timePeriodProperties() []property {
	n := nullable(intSchema)
	return []property{
		{"6h", n, true, "The last 6 hours."}, {"24h", n, true, "The last 24 hours."},
		{"7d", n, true, "The last 7 days."}, {"14d", n, true, "The last 14 days."},
	}
}

// webhookLogProperties describe WebhookLogRead, in its order.
func webhookLogProperties() []property {
	return []property{
		{"created_at", timeSchema, true, "When it was sent."},
		{"webhook_id", uuidSchema, true, "Id of the webhook."},
		{"message_id", uuidSchema, true, "Id of the event: the envelope's `id`."},
		{"event_name", ref("WebhookEventNameEnum"), true, ""},
		{"status", ref("WebhookLogStatusEnum"), true, ""},
		{"status_code", intSchema, true, "Your endpoint's HTTP status. 0: there was no answer."},
		{"error_message", nullable(textSchema), true, "Why it failed, for people."},
		{"response_time_ms", nullable(intSchema), true, "Null: there was no answer."},
	}
}

// eventSchemaProperties describe EventSchema, in its order.
func eventSchemaProperties() []property {
	return []property{
		{"event_name", textSchema, true, "The event."},
		{"version", textSchema, true, "Version of the envelope."},
		{"created_at", timeSchema, true, "When this version was made."},
		{"openapi_schema", textSchema, true, "A JSON Schema (2020-12) of the body, as text."},
		{"changelog", withDefault(textSchema, initialChangelog), true, "What is new in this version."},
	}
}
