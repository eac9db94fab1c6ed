package metrics

import "writeback/pkg/tsp/all"

// The values of labels that the code names.
const (
	// QueueOperations and QueueWebhooks tell the two stores and their workers apart.
	QueueOperations = "operations"
	QueueWebhooks   = "webhooks"

	ModeAsync = "async"
	ModeSync  = "sync"

	StateReady       = "ready"
	StateDelayed     = "delayed"
	StateRateLimited = "rate_limited"
	StateBlocked     = "blocked"
	StateBehind      = "behind"
	StateInFlight    = "in_flight"

	HandoverTaken    = "taken"
	HandoverReturned = "returned"

	RepairExpired     = "expired_lease"
	RepairHealed      = "healed"
	RepairRepublished = "republished"
	RepairRefilled    = "refilled"

	// GenerationNew is a shard that started empty, GenerationRebuilt one that was
	// read back from the streams.
	GenerationNew     = "new"
	GenerationRebuilt = "rebuilt"

	ResultDone   = "done"
	ResultFailed = "failed"

	TokenMissing     = "missing"
	TokenInvalid     = "invalid"
	TokenExpired     = "expired"
	TokenScope       = "scope"
	TokenUnavailable = "unavailable"

	// TailSlow is a live tail whose reader did not keep up, TailLost one whose streams were
	// lost or have gone back.
	TailSlow = "slow"
	TailLost = "streams_lost"

	SystemNATS = "nats"

	OperationPublish = "publish"
	OperationFetch   = "fetch"

	ErrorTimeout = "timeout"
	ErrorAway    = "away"
)

// The labels.
var (
	provider         = Label{Key: "provider", Values: all.Names(), Elsewhere: "the names of the adapters, in [providers.md](providers.md)"}
	errorTypes       = []string{"auth", "network", "tsp", "validation"}
	outcome          = Label{Key: "outcome", Values: append([]string{"success"}, errorTypes...)}
	errorType        = Label{Key: "error_type", Values: errorTypes, Set: "absent for a success, and for an end without a call"}
	status           = Label{Key: "status", Values: []string{"failed", "success"}}
	connectionStatus = Label{Key: "status", Values: []string{"active", "cancelled", "failed", "locked", "paused", "stale"}}
	kindOfOp         = Label{Key: "operation_type", Values: []string{"create", "update"}}
	mode             = Label{Key: "mode", Values: []string{ModeAsync, ModeSync}}
	queue            = Label{Key: "queue", Values: []string{QueueOperations, QueueWebhooks}}
	state            = Label{Key: "state", Values: []string{
		StateReady, StateDelayed, StateRateLimited, StateBlocked, StateBehind, StateInFlight,
	}}
	handover   = Label{Key: "result", Values: []string{HandoverTaken, HandoverReturned}}
	repair     = Label{Key: "kind", Values: []string{RepairExpired, RepairHealed, RepairRepublished, RepairRefilled}}
	generation = Label{Key: "cause", Values: []string{GenerationNew, GenerationRebuilt}}
	result     = Label{Key: "result", Values: []string{ResultDone, ResultFailed}}
	rejection  = Label{Key: "reason", Values: []string{TokenMissing, TokenInvalid, TokenExpired, TokenScope, TokenUnavailable}}
	tailLoss   = Label{Key: "reason", Values: []string{TailSlow, TailLost}}
	stream     = Label{Key: "stream", Values: []string{"OPERATIONS", "OPERATION_EVENTS", "OPERATION_DEAD", "WEBHOOK_DELIVERIES", "WEBHOOK_EVENTS"}}
	syncedUser = Label{Key: "result", Values: []string{"created", "updated", "unchanged", "gone"}}
	syncedPage = Label{Key: "result", Values: outcome.Values}
	syncedWalk = Label{Key: "result", Values: []string{"finished", "given_up"}}

	method = Label{Key: "http.request.method", Values: []string{
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
	}}
	route = Label{Key: "http.route", Set: "the documented routes, and `unmatched`"}
	code  = Label{Key: "http.response.status_code", Set: "HTTP status codes; absent without an answer"}
	// updateCode is closed, so that each is shown as 0 before it comes.
	updateCode = Label{Key: code.Key, Values: []string{
		"202", "400", "401", "403", "404", "408", "409", "413", "415", "422", "429", "500", "501", "503", "504",
	}}
	scheme = Label{Key: "url.scheme", Values: []string{"http", "https"}}
	fault  = Label{Key: "error.type", Set: "the status code, for 5xx; absent otherwise"}

	system      = Label{Key: "messaging.system", Values: []string{SystemNATS}}
	doing       = Label{Key: "messaging.operation.name", Values: []string{OperationPublish, OperationFetch}}
	destination = Label{Key: "messaging.destination.name", Set: "the subjects that Writeback uses; they hold no ids"}
	group       = Label{Key: "messaging.consumer.group.name", Set: "the consumers that Writeback makes"}
	mishap      = Label{Key: "error.type", Values: []string{ErrorAway, ErrorTimeout}, Set: "absent for a success"}
)
