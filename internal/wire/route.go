package wire

import (
	"net/http"
	"slices"
)

// Route is one route of the API. The HTTP edge registers from this table and the
// document is made from it.
type Route struct {
	Method string
	// Path with its parameters in braces, as http.ServeMux takes it.
	Path        string
	OperationID string
	// Scopes are those the token must have. Nil: any valid token.
	Scopes []string
}

// The scopes of the routes.
const (
	ScopeTelematicsRead  = "telematics:read"
	ScopeTelematicsWrite = "telematics:write"
	ScopeConnectionRead  = "connection:read"
	ScopeOperationRead   = "resource_operation:read"
)

// scopeMeanings are for the document.
var scopeMeanings = object{
	{ScopeConnectionRead, "Read your fleets' connections."},
	{ScopeOperationRead, "Read resource operations and their attempt logs."},
	{ScopeTelematicsRead, "Read users."},
	{ScopeTelematicsWrite, "Write users."},
	{ScopeWebhookCreate, "Create webhooks, and replay what they missed."},
	{ScopeWebhookDelete, "Delete webhooks."},
	{ScopeWebhookRead, "Read webhooks, their metrics and logs."},
	{ScopeWebhookUpdate, "Change, pause and activate webhooks."},
}

// Routes is the route table, in the document's order.
func Routes() []Route {
	out := make([]Route, 0, len(endpoints))
	for _, e := range endpoints {
		r := e.Route
		r.Scopes = slices.Clone(r.Scopes)
		out = append(out, r)
	}
	return out
}

// endpoint is a route with what the document says about it.
type endpoint struct {
	Route
	tag, summary, text string
	params             []parameter
	// headerParams are those in headers, but for the Idempotency-Key.
	headerParams []object
	// keyed says that it takes an Idempotency-Key.
	keyed bool
	// body is the schema of the request body. Empty: none. bodyLines is that of one line
	// of it, where it may come as lines.
	body, bodyLines string
	// success is the schema of the answer, examples are of it. Nil: the usual ones.
	// successLines is that of one line, where it is given as lines.
	success, successLines string

	examples func() object
	// callbacks are the requests that it leads to. Nil: none.
	callbacks func() object
	// status of the only success. Zero: 200. A 204 has no body.
	status int
	// media type of the success. Empty: JSON.
	media string
	// write adds the answers that only a write has; queued makes 202 its only
	// success. limited says that answers tell what the partner's rate leaves.
	write, queued, limited bool
	// errors are the refusals besides those that every route has.
	errors []int
}

const (
	tagUsers       = "Users"
	tagOperations  = "Resource operations"
	tagConnections = "Connections"
	tagProviders   = "Providers"
)

var (
	telematicsErrors   = []int{http.StatusNotImplemented}
	integrationsErrors = []int{http.StatusGatewayTimeout}
)

const dryRunText = "With `dry_run=true` nothing is stored and nothing written: the answer is 200 with an operation that is in no list, and what would " +
	"be sent in `dry_run`. Its status is failed, with a log entry, if the provider could not take the values."

const readText = "What is shown is what the provider had when its users were last listed, which is done every few hours. A write does not show " +
	"here before the next time; what became of it is in its operation. A user that was created is here at once."

var endpoints = slices.Concat(resourceEndpoints, notificationEndpoints)

var resourceEndpoints = []endpoint{
	{
		Route: Route{http.MethodPatch, "/v2/telematics/users/{user_id}", "update_user", []string{ScopeTelematicsWrite}},
		tag:   tagUsers, summary: "Update a user",
		text: "Writes the given fields of one user to the fleet's telematics provider. A field that is absent stays as it is; " +
			"null clears it. Usually the write is queued: the answer is 202 with a pending operation, which is retried until it " +
			"succeeds, fails for good, or expires. Updates of one user reach the provider in the order in which they were accepted. " +
			"With `is_sync=true` the provider is called once, inside the request: the answer is 200 or 502 with the ended operation. " +
			dryRunText,
		params:  []parameter{userIDParam, syncParam, dryRunParam},
		body:    "UserUpdate",
		success: "ResourceOperation", keyed: true, write: true, limited: true, errors: telematicsErrors,
	},
	{
		Route: Route{http.MethodPost, "/v2/telematics/users", "create_user", []string{ScopeTelematicsWrite}},
		tag:   tagUsers, summary: "Create a user",
		text: "Makes a user at the fleet's telematics provider. It goes the way of an update, with the same answers; `resource_id` and " +
			"`source_id` are null until it has succeeded. Which fields must be there is the provider's to say: see `write_support` " +
			"of the provider. Without one of them the answer is 422. A failed create may have made the user all the same, when its answer " +
			"was lost: `retry` of its operation looks for that user first, while the same request sent again may make a second one. " +
			dryRunText,
		params:  []parameter{syncParam, dryRunParam},
		body:    "UserCreate",
		success: "ResourceOperation", keyed: true, write: true, limited: true, errors: telematicsErrors,
	},
	batchEndpoint,
	{
		Route: Route{http.MethodGet, "/v2/telematics/users/{user_id}", "get_user", []string{ScopeTelematicsRead}},
		tag:   tagUsers, summary: "Get a user",
		text:    "One user of one of your fleets. " + readText,
		params:  []parameter{userIDParam, sourceDataParam},
		success: "UserRead", errors: telematicsErrors,
	},
	{
		Route: Route{http.MethodGet, "/v2/telematics/users", "list_users", []string{ScopeTelematicsRead}},
		tag:   tagUsers, summary: "List users",
		text:    "The users of your fleets. Filters are joined with and; a repeated filter matches any of its values. " + readText,
		params:  slices.Concat(userFilters, pageParams),
		success: pageName("UserRead"), errors: telematicsErrors,
	},
	{
		Route: Route{http.MethodGet, "/v2/integrations/connections/resource-operations", "list_resource_operations", []string{ScopeOperationRead}},
		tag:   tagOperations, summary: "List resource operations",
		text: "The operations accepted within a window of time, oldest first. Without bounds that is the last 24 hours; a window " +
			"is 45 days at most. The list cannot be filtered by status. A page of large operations has fewer than `size`: it weighs " +
			"some 4 MiB at most, and `next_page` alone says whether there are more.",
		params:  slices.Concat(operationFilters, pageParams),
		success: pageName("ResourceOperationRead"), errors: integrationsErrors,
	},
	{
		Route: Route{
			http.MethodGet, "/v2/integrations/connections/{connection_id}/resource-operations/{resource_operation_id}",
			"get_resource_operation", []string{ScopeOperationRead},
		},
		tag: tagOperations, summary: "Get a resource operation",
		text:    "One operation with its attempt log. Both ids must belong together.",
		params:  []parameter{connectionIDParam, operationIDParam},
		success: "ResourceOperationRead", errors: integrationsErrors,
	},
	{
		Route: Route{
			http.MethodPost, "/v2/integrations/connections/{connection_id}/resource-operations/{resource_operation_id}/cancel",
			"cancel_resource_operation", []string{ScopeTelematicsWrite},
		},
		tag: tagOperations, summary: "Cancel a resource operation",
		text: "Gives up a pending operation. It ends as failed, with a log entry that says so. While a call of it is under way it " +
			"stays pending with `cancel_requested`: if that call succeeds the operation succeeds, else it ends as failed. One that " +
			"has ended is refused with 409, and `is_sync` and `dry_run` with 422. An extension of the contract.",
		params:  []parameter{connectionIDParam, operationIDParam},
		success: "ResourceOperationRead", examples: cancelExamples, limited: true, errors: integrationsErrors,
	},
	{
		Route: Route{
			http.MethodPost, "/v2/integrations/connections/{connection_id}/resource-operations/{resource_operation_id}/retry",
			"retry_resource_operation", []string{ScopeTelematicsWrite},
		},
		tag: tagOperations, summary: "Retry a resource operation",
		text: "Accepts the changes of a failed operation once more, as a new operation behind those that the user has outstanding. " +
			"It names the failed one in `retry_of` and is always queued: `is_sync` and `dry_run` are refused with 422. A retried create first looks whether an earlier one has made " +
			"the user after all. Any other than a failed one is refused with 409. An " +
			"extension of the contract.",
		params:  []parameter{connectionIDParam, operationIDParam},
		success: "ResourceOperation", keyed: true, queued: true, limited: true, errors: []int{http.StatusNotImplemented, http.StatusGatewayTimeout},
	},
	tailEndpoint,
	{
		Route: Route{http.MethodGet, "/v2/integrations/connections", "list_connections", []string{ScopeConnectionRead}},
		tag:   tagConnections, summary: "List connections",
		text:    "Your fleets' connections to their providers.",
		params:  slices.Concat(connectionFilters, pageParams),
		success: pageName("ConnectionRead"), errors: integrationsErrors,
	},
	{
		Route: Route{http.MethodGet, "/v2/integrations/connections/{connection_id}", "get_connection", []string{ScopeConnectionRead}},
		tag:   tagConnections, summary: "Get a connection",
		text:    "One connection. Its credentials are masked.",
		params:  []parameter{connectionIDParam},
		success: "ConnectionRead", errors: integrationsErrors,
	},
	{
		Route: Route{http.MethodGet, "/v2/integrations/tsps", "list_integrations_per_tsp", nil},
		tag:   tagProviders, summary: "List providers",
		text:    "The providers and which of their resources are supported.",
		params:  pageParams,
		success: pageName("TspIntegrationsRead"), errors: integrationsErrors,
	},
	{
		Route: Route{http.MethodGet, "/v2/integrations/tsps/{tsp_id}", "get_integrations_per_tsp", nil},
		tag:   tagProviders, summary: "Get a provider",
		text:    "One provider and which of its resources are supported.",
		params:  []parameter{tspIDParam},
		success: "TspIntegrationsRead", errors: integrationsErrors,
	},
}
