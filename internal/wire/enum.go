package wire

import "writeback/pkg/operation"

// Resources are the contract's 32 resources.
var Resources = []string{
	"asset", "driver_association", "driver_vehicle_association", "driver_event_log", "driver_safety_event",
	"dvir_log", "dvir_log_defect", "engine_log", "engine_status", "fuel_transaction", "fleet_info",
	"hos_availability", "hos_daily_snapshot", "hos_event", "hos_event_annotation", "hos_event_attachment",
	"hos_violation", "ifta_summary", "location_segment", "message", "group_message", "user", "vehicle",
	"vehicle_location", "vehicle_sensor", "vehicle_region_segment", "trailer", "trailer_association",
	"trailer_vehicle_association", "trailer_location", "trailer_status", "workflow",
}

// ConnectionStatuses are the states of a connection.
var ConnectionStatuses = []string{"active", "failed", "cancelled", "paused", "stale", "deleted"}

// IntegrationStatuses say how far a resource of a provider is supported.
var IntegrationStatuses = []string{"implemented", "not_implemented", "not_supported"}

var (
	operationTypes    = []string{string(operation.Create), string(operation.Update)}
	operationStatuses = []string{string(operation.Pending), string(operation.Succeeded), string(operation.Failed)}
	attemptStatuses   = []string{string(operation.AttemptSucceeded), string(operation.AttemptFailed)}
	errorTypes        = []string{
		string(operation.ErrorAuth), string(operation.ErrorValidation), string(operation.ErrorNetwork), string(operation.ErrorTSP),
	}
	waitReasons = []string{
		string(operation.WaitRetry), string(operation.WaitBehind), string(operation.WaitRateLimited),
		string(operation.WaitProviderBackoff), string(operation.WaitBreakerOpen), string(operation.WaitPaused),
	}
	sortOrders = []string{"asc", "desc"}
)
