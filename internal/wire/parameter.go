package wire

import "fmt"

// parameter is one parameter in the document.
type parameter struct {
	name   string
	inPath bool
	schema object
	text   string
}

func (p parameter) object() object {
	in := "query"
	if p.inPath {
		in = "path"
	}
	return object{
		{"name", p.name},
		{"in", in},
		{"required", p.inPath},
		{"description", p.text},
		{"schema", p.schema},
	}
}

// headerParam is a parameter that comes in a header.
func headerParam(name string, required bool, schema object, text string) object {
	return object{{"name", name}, {"in", "header"}, {"required", required}, {"description", text}, {"schema", schema}}
}

// keySchema is that of an idempotency key; see ValidKey.
var keySchema = object{{"type", "string"}, {"minLength", 1}, {"maxLength", MaxIdempotencyKey}, {"pattern", "^[!-~]+$"}}

// keyParam is an extension of the contract.
var keyParam = headerParam("Idempotency-Key", false, keySchema,
	fmt.Sprintf("A name of your own for this request: 1 to %d visible ASCII characters, bare or as a quoted string. Sent again within 24 hours, with the same "+
		"`is_sync` and body, it is answered with the operation that it made, in its present state. With another it is "+
		"refused with 422. A refused request keeps no key. An extension of the contract.", MaxIdempotencyKey))

var (
	userIDParam       = parameter{"user_id", true, uuidSchema, "Id of the user; not the provider's own id."}
	connectionIDParam = parameter{"connection_id", true, uuidSchema, "Id of the connection."}
	operationIDParam  = parameter{"resource_operation_id", true, uuidSchema, "Id of the operation."}
	tspIDParam        = parameter{"tsp_id", true, uuidSchema, "Id of the provider."}
	sourceDataParam   = parameter{"include_source_data", false, flagSchema(false), "Whether to add `source_data`."}
	syncParam         = parameter{
		"is_sync", false, flagSchema(false),
		"Whether to call the provider inside this request, once and without retries, instead of queueing the write.",
	}
	dryRunParam = parameter{
		"dry_run", false, flagSchema(false),
		"Whether to only say what would be sent to the provider. Not with is_sync. An extension of the contract.",
	}
)

var fleetFilters = []parameter{
	{"fleet_ids", false, nullable(list(uuidSchema)), "Fleets by id; repeat the key for each."},
	{"fleet_refs", false, nullable(list(textSchema)), "Fleets by your own name for them; repeat the key for each."},
}

var pageParams = []parameter{
	{"cursor", false, nullable(textSchema), "Where to go on: a cursor of an earlier page, with the same filters as that page had."},
	{"size", false, object{{"type", "integer"}, {"minimum", 1}, {"maximum", MaxSize}, {"default", DefaultSize}}, "Most items of a page."},
}

var userFilters = []parameter{
	{"is_driver", false, nullable(boolSchema), "Only drivers, or only others."},
	fleetFilters[0], fleetFilters[1],
	{"connection_id", false, nullable(uuidSchema), "Only users of this connection."},
	sourceDataParam,
	{"user_ids", false, nullable(list(uuidSchema)), "Users by id; repeat the key for each."},
	{"source_ids", false, nullable(list(textSchema)), "Users by the provider's id; repeat the key for each."},
	{"name", false, nullable(filledSchema), "Only users whose name holds this text, in any case: first and last name with a space between, or the username. An extension."},
	{"sort_by", false, nullable(textSchema), "Sort key: " + oneOf(UserSortKeys) + ". Default id."},
	{"sort_order", false, object{{"type", "string"}, {"enum", sortOrders}, {"default", "asc"}}, "Direction of the sort."},
}

var connectionFilters = []parameter{
	{"tsp_id", false, nullable(uuidSchema), "Only connections to this provider."},
	{"fleet_ids", false, nullable(list(nullable(uuidSchema))), "Fleets by id; repeat the key for each."},
	fleetFilters[1],
}

var operationFilters = []parameter{
	{"resource", false, nullable(ref("ResourceEnum")), "Only operations on this kind of resource."},
	{"connection_id", false, nullable(uuidSchema), "Only operations of this connection."},
	{"source_name", false, nullable(ref("TspEnum")), "Only operations at this provider."},
	fleetFilters[1],
	{"operation", false, nullable(ref("ResourceOperationTypeEnum")), "Only operations of this type."},
	{"source_id", false, nullable(textSchema), "Only operations on the resource with this id at its provider. Needs resource."},
	{"from_datetime", false, timeSchema, "Start of the window by accept time, inclusive. Default: 24 hours ago."},
	{"to_datetime", false, timeSchema, "End of the window by accept time, exclusive. Default: now, and a minute more for clocks that differ."},
}
