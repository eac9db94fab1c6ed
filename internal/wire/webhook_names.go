package wire

// Events of webhooks.
const (
	eventCreated   = "resource_operation.created"
	eventSucceeded = "resource_operation.succeeded"
	eventFailed    = "resource_operation.failed"
	eventStaled    = "webhook.staled"
)

// WebhookEventNames are the contract's names of events, with the families that it
// lists among them. Only some of them are ever sent: see EventSchemaOf.
var WebhookEventNames = []string{
	"dvir_log.added", "dvir_log.modified", "dvir_log.removed", "driver_vehicle_association.added",
	"driver_vehicle_association.modified", "trailer_vehicle_association.added",
	"trailer_vehicle_association.modified", "invitation.created", "invitation.rejected", "invitation.declined",
	"invitation.viewed", "invitation.sent", "invitation.accepted", "invitation.expired", "invitation.deleted",
	"invitation.*", "connection.created", "connection.staled", "connection.*", "fleet_connection.created",
	"fleet_connection.*", "share_agreement.created", "share_agreement.updated", "share_agreement.deleted",
	"share_agreement.*", "webhook.created", "webhook.updated", "webhook.deleted", "webhook.staled",
	"webhook.activated", "webhook.paused", "webhook.*", "workflow.added", "workflow.modified", "workflow.removed",
	"workflow.*", "tsp.created", "tsp.requested", "vehicle.added", "vehicle.modified", "vehicle.removed",
	"vehicle.*", "trailer.added", "trailer.modified", "trailer.removed", "trailer.*", "trailer_location.added",
	"trailer_location.modified", "trailer_location.*", "trailer_status.added", "trailer_status.modified",
	"trailer_status.*", "execution.created", "execution.staled", "execution.failed", "execution.*",
	"schedule.deactivated", "schedule.*", "user.added", "user.modified", "user.removed", "user.*",
	"vehicle_location.added", "ifta_summary.added", "ifta_summary.modified", "ifta_summary.removed",
	"ifta_summary.*", "hos_availability.added", "hos_availability.modified", "hos_availability.removed",
	"hos_availability.*", "hos_daily_snapshot.added", "hos_daily_snapshot.modified", "hos_daily_snapshot.removed",
	"hos_daily_snapshot.*", "hos_event.added", "hos_event.modified", "hos_event.removed", "hos_event.*",
	"hos_violation.added", "hos_violation.modified", "hos_violation.removed", "hos_violation.*", "engine_log.added",
	"engine_log.modified", "engine_log.removed", "engine_log.*", "engine_status.added", "engine_status.modified",
	"group_message.added", "group_message.modified", "message.added", "message.modified", "fuel_transaction.added",
	"fuel_transaction.modified", "resource_operation.created", "resource_operation.succeeded",
	"resource_operation.failed", "resource_operation.*",
}

// webhookFamilies are the contract's names that stand for every event of a kind.
var webhookFamilies = []string{
	"dvir_log.*", "driver_vehicle_association.*", "trailer_vehicle_association.*", "invitation.*", "connection.*",
	"fleet_connection.*", "share_agreement.*", "webhook.*", "vehicle.*", "trailer.*", "trailer_location.*",
	"trailer_status.*", "user.*", "vehicle_location.*", "ifta_summary.*", "hos_availability.*",
	"hos_daily_snapshot.*", "hos_event.*", "hos_violation.*", "engine_log.*", "engine_status.*", "group_message.*",
	"message.*", "fuel_transaction.*", "resource_operation.*", "workflow.*",
}

// WebhookStatuses are the states of a webhook.
var WebhookStatuses = []string{"active", "paused", "stale", "deleted"}

// WebhookLogStatuses say how one send ended.
var WebhookLogStatuses = []string{"success", "failed"}

// WebhookSchedules are how long a failing delivery is tried again.
var WebhookSchedules = []string{"short", "long"}
