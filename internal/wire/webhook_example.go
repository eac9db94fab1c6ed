package wire

import "github.com/google/uuid"

var exampleWebhook = uuid.MustParse("019cada2-0a10-7b30-a1d4-9c4f0b6e2d77")

// webhookExamples are the examples of an answer about webhooks.
func webhookExamples(schema string) object {
	switch schema {
	case "WebhookCreated":
		made := exampleWebhookMade()
		return append(one("one", made), one("all_of_a_kind", []Webhook{made})...)
	case "WebhookRead":
		return one("webhook", exampleWebhookRead())
	case pageName("WebhookRead"):
		return one("page", NewPage([]WebhookRead{exampleWebhookRead()}))
	case "WebhookMetrics":
		return one("metrics", exampleWebhookMetrics())
	case pageName("WebhookLogRead"):
		took := 84
		return one("page", NewPage([]WebhookLogRead{{
			CreatedAt: exampleTime, WebhookID: exampleWebhook, MessageID: exampleID, EventName: eventSucceeded,
			Status: "success", StatusCode: 202, ResponseTimeMS: &took,
		}}))
	case "WebhookReplay":
		return one("replayed", WebhookReplay{MessageCount: 12})
	case "EventSchema":
		schema, _ := EventSchemaOf(eventSucceeded, "")
		return one("schema", schema)
	}
	return nil
}

func exampleWebhookMade() Webhook {
	return Webhook{
		URL: "https://hooks.example.com/writeback/4f1d", Secret: "whsec_bm90IGEgc2VjcmV0IG9mIGFueWJvZHk=",
		CreatedAt: exampleTime, UpdatedAt: exampleTime, ID: exampleWebhook, PartnerID: examplePartner, Status: "active",
		EventName: eventSucceeded, Schedule: "short",
	}
}

func exampleWebhookRead() WebhookRead {
	return WebhookRead{
		ID: exampleWebhook, URL: "https://hooks.example.com/writeback/*****", EventName: eventSucceeded, Secret: MaskedSecret,
		Filters: &WebhookFilters{FleetRefs: []string{"north-depot"}}, Status: "active",
		CreatedAt: exampleTime, UpdatedAt: exampleTime, Schedule: "short",
	}
}

func exampleWebhookMetrics() WebhookMetrics {
	all := func(n int) TimePeriodMetric { return TimePeriodMetric{&n, &n, &n, &n} }
	average := 0.995
	return WebhookMetrics{
		WebhookID: exampleWebhook, HTTPAttempts: all(410), HTTPSuccessAttempts: all(400), HTTPFailureAttempts: all(10),
		MessageCount: all(402), MessageSuccessCount: all(400), SuccessRate: all(99), AvgResponseTimeMS: all(84),
		EWMASuccessRate: &average, DLQCount: 2,
	}
}

// webhookRequests are the examples of a body about webhooks.
func webhookRequests(body string) object {
	if body == "WebhookUpdate" {
		return one("new_secret", object{{"secret", "a-new-secret-of-ours"}})
	}
	return append(one("one", object{
		{"url", "https://hooks.example.com/writeback/4f1d"}, {"event_name", eventSucceeded},
		{"filters", object{{"fleet_refs", []string{"north-depot"}}}},
	}), one("all_of_a_kind", object{{"url", "https://hooks.example.com/writeback/4f1d"}, {"event_name", "resource_operation.*"}})...)
}
