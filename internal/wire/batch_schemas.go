package wire

import (
	"net/http"

	"writeback/pkg/operation"
)

// batchEndpoint takes many updates at once. An extension of the contract.
var batchEndpoint = endpoint{
	Route: Route{http.MethodPost, "/v2/telematics/users/batch", "update_users_batch", []string{ScopeTelematicsWrite}},
	tag:   tagUsers, summary: "Update many users",
	text: "Up to 1,000 updates in one request of at most 2 MiB: an array, or one JSON object a line (`application/x-ndjson`); the answer has the " +
		"form of the request. Each element is an operation like any other and is answered on its own, in the order of the request: " +
		"`status` 202 with the operation, or the status and the error body that a request for it alone would have. So the answer " +
		"is 200 as soon as the elements could be told apart; look at each. Elements for one user reach the provider in the order of the batch. " +
		"An Idempotency-Key stands for every element by its place and its user: the same batch sent again makes nothing new and says so with " +
		"`replayed`; an element's own `idempotency_key` takes its place. A batch counts as that many writes " +
		"against your rate: it is refused as a whole with 429 when it does not fit. One that is larger than half your burst needs half a budget, and " +
		"later writes wait until it is paid off. `is_sync` and `dry_run` are refused. An extension of the contract.",
	body: "UserBatch", bodyLines: "UserBatchUpdate",
	success: "UserBatchAnswer", successLines: "UserBatchResult", examples: batchExamples,
	keyed: true, limited: true, errors: telematicsErrors,
}

func batchSchemas() object {
	element := userProperties()
	element = append([]property{
		{"user_id", uuidSchema, true, "Id of the user; not the provider's own id."},
		{"idempotency_key", nullable(keySchema), false, "A name of your own for this update. Null or absent: the request's Idempotency-Key stands for it, if there is one."},
	}, element...)
	return object{
		{"UserBatch", object{
			{"type", "array"}, {"minItems", 1}, {"maxItems", MaxBatch}, {"items", ref("UserBatchUpdate")},
			{"description", "Updates of users, in the order in which they are accepted. At most 2 MiB."},
		}},
		{"UserBatchUpdate", structSchema("One update of a batch. "+updateText, element)},
		{"UserBatchAnswer", structSchema("The answer to a batch.", []property{
			{"items", arrayOf(ref("UserBatchResult")), true, "One for each element, in the order of the request."},
		})},
		{"UserBatchResult", structSchema("The answer about one element of a batch: an operation or an error.", batchResultProperties())},
	}
}

// batchResultProperties describe BatchResult, in its order.
func batchResultProperties() []property {
	var refusals []object
	for _, status := range []int{400, 403, 404, 409, 413, 422, 429, 500, 501, 503} {
		refusals = append(refusals, ref(errorNames[status]))
	}
	return []property{
		{"index", intSchema, true, "Place of the element in the request, from 0. Blank lines are no elements."},
		{"status", intSchema, true, "What a request for the element alone would be answered with."},
		{"operation", ref("ResourceOperationRead"), false, "The operation. Only for a status of 202."},
		{"replayed", boolSchema, false, "True when the operation is that of an earlier request under the same key, in its present state."},
		{"error", object{{"anyOf", refusals}}, false, "The body of the refusal. For any other status."},
		{"retry_after_seconds", intSchema, false, "When to send the element again. With 429 and 503."},
	}
}

func batchRequests() object {
	return one("two", []object{
		{{"user_id", exampleUser}, {"connection_id", exampleConnection}, {"phone_number", "5550100"}},
		{{"user_id", exampleUser}, {"connection_id", exampleConnection}, {"notes", nil}, {"idempotency_key", "row-2"}},
	})
}

func batchExamples() object {
	return one("mixed", BatchAnswer{Items: []BatchResult{
		BatchAccepted(0, examplePending(), false),
		BatchRefused(1, http.StatusNotFound, &operation.Error{Code: operation.CodeNotFound, Message: "there is no such user on this connection"}),
	}})
}
