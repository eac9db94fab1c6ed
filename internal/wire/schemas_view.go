package wire

import "writeback/pkg/operation"

// writeViewProperties describe ResourceOperation, in its order.
func writeViewProperties() []property {
	return []property{
		{"partner_id", uuidSchema, true, "You."},
		{"connection_id", uuidSchema, true, "The connection that receives the write."},
		{"resource", ref("ResourceEnum"), true, ""},
		{"operation_type", ref("ResourceOperationTypeEnum"), true, ""},
		{"payload", freeSchema, true, "The changes in canonical form."},
		{"id", uuidSchema, true, "Id of the operation, a UUIDv7."},
		{"created_at", timeSchema, true, "When it was accepted."},
		{"updated_at", timeSchema, true, "When it last changed."},
		{"deleted_at", nullable(timeSchema), true, "Always null."},
		{"resource_id", nullable(uuidSchema), true, "Id of the user."},
		{"source_id", nullable(textSchema), true, "Id of the user at the provider."},
		{"status", withDefault(ref("ResourceOperationStatusEnum"), operation.Pending), true, ""},
		{"logs", arrayOf(ref("ResourceOperationLog")), true, "The attempts so far, oldest first."},
		{"dry_run", ref("DryRun"), false, "What would be sent. Only after a dry run, whose operation is not stored. An extension of the contract."},
	}
}

// readViewProperties describe ResourceOperationRead, in its order.
func readViewProperties() []property {
	const pending = " Only while pending. An extension of the contract."
	const alone = " Only in a read of the one operation: lists, batches and events do not look for it." + pending
	return []property{
		{"id", uuidSchema, true, "Id of the operation, a UUIDv7."},
		{"created_at", timeSchema, true, "When it was accepted."},
		{"updated_at", timeSchema, true, "When it last changed."},
		{"partner_id", uuidSchema, true, "You."},
		{"connection_id", uuidSchema, true, "The connection that receives the write."},
		{"fleet_ref", nullable(textSchema), true, "Your own name of the fleet."},
		{"source_name", ref("TspEnum"), true, ""},
		{"resource", ref("ResourceEnum"), true, ""},
		{"resource_id", nullable(uuidSchema), true, "Id of the user."},
		{"source_id", nullable(textSchema), true, "Id of the user at the provider."},
		{"operation_type", ref("ResourceOperationTypeEnum"), true, ""},
		{"status", ref("ResourceOperationStatusEnum"), true, ""},
		{"payload", freeSchema, true, "The changes in canonical form."},
		{"logs", arrayOf(ref("ResourceOperationLog")), true, "The attempts so far, oldest first."},
		{"waiting", ref("Waiting"), false, "Why it is not being called just now." + alone},
		{"attempt", intSchema, false, "Attempts so far." + pending},
		{"max_attempts", intSchema, false, "After how many attempts it fails." + pending},
		{"next_attempt_at", timeSchema, false, "When the next attempt may start, if that is known." + alone},
		{"expires_at", timeSchema, false, "When it fails if it has not ended by then." + pending},
		{"cancel_requested", boolSchema, false, "True while a cancel awaits the end of the call under way, which decides." + pending},
		{"retry_of", uuidSchema, false, "The failed operation that this one repeats. An extension of the contract."},
	}
}

// logProperties describe Log, in its order.
func logProperties() []property {
	return []property{
		{"id", uuidSchema, true, "Id of the attempt."},
		{"created_at", timeSchema, true, "When the call started."},
		{"updated_at", timeSchema, true, "When the call ended."},
		{"resource_operation_id", uuidSchema, true, "The operation."},
		{"status", ref("ResourceOperationLogStatusEnum"), true, ""},
		{"error_type", nullable(ref("ResourceOperationErrorTypeEnum")), true, "Why it failed. Null for a success."},
		{"error_details", nullable(textSchema), true, "Why it failed, for people."},
		{"response_status_code", nullable(intSchema), true, "The provider's HTTP status. Null: there was no answer."},
		{
			"response_headers", nullable(object{{"type", "object"}, {"additionalProperties", textSchema}}), true,
			"Some of the provider's response headers, such as those of its rate limit.",
		},
		{
			"unapplied_fields", arrayOf(textSchema), false,
			"Fields that the provider accepted but did not take, found by reading the user back. Only if there are any. An extension of the contract.",
		},
		{"trace_id", textSchema, false, "The W3C trace that the call was part of, 32 hex digits. An extension of the contract."},
	}
}

// dryRunProperties describe DryRun, in its order.
func dryRunProperties() []property {
	return []property{
		{"requests", arrayOf(ref("DryRunRequest")), true, "The writes, in their order. Empty if there would be none."},
	}
}

// dryRunRequestProperties describe DryRunRequest, in its order.
func dryRunRequestProperties() []property {
	return []property{
		{"method", textSchema, true, "The HTTP method."},
		{"path", textSchema, true, "The URL without scheme and host. Credentials in it are masked."},
		{"body", object{}, true, "The body as it is if it is JSON, else as text. Null: none. Credentials in it are masked."},
	}
}

// writeSupportProperties describe WriteSupport, in its order.
func writeSupportProperties() []property {
	return []property{{"user", ref("UserWriteSupport"), true, ""}}
}

// userWriteSupportProperties describe UserWriteSupport, in its order.
func userWriteSupportProperties() []property {
	return []property{
		{"update", boolSchema, true, "Whether users can be updated."},
		{"create", ref("CreateSupport"), true, ""},
		{"fields", object{{"type", "object"}, {"additionalProperties", ref("FieldSupport")}}, true, "Field by field of an update or create."},
	}
}

// createSupportProperties describe CreateSupport, in its order.
func createSupportProperties() []property {
	return []property{
		{"supported", boolSchema, true, "Whether users can be created."},
		{"required", arrayOf(textSchema), true, "Fields without which a create is refused with 422."},
		{"note", nullable(textSchema), true, "What to know about it."},
	}
}

// fieldSupportProperties describe FieldSupport, in its order.
func fieldSupportProperties() []property {
	return []property{
		{"writable", boolSchema, true, "Whether the provider can hold the field. A write of one that it cannot hold fails as validation."},
		{"clearable", boolSchema, true, "Whether null clears it. A null that cannot be written fails as validation."},
		{"note", nullable(textSchema), true, "What to know about it."},
	}
}

// waitingProperties describe Waiting, in its order.
func waitingProperties() []property {
	return []property{
		{"reason", ref("WaitReasonEnum"), true, ""},
		{"behind", uuidSchema, false, "The earlier operation of the same user that has to end first."},
		{"until", timeSchema, false, "When the wait ends, if that is known."},
	}
}

// connectionReadProperties describe ConnectionRead, in its order.
func connectionReadProperties() []property {
	return []property{
		{"id", uuidSchema, true, "Id of the connection."},
		{"created_at", timeSchema, true, "When it was made."},
		{"updated_at", timeSchema, true, "When it last changed."},
		{"fleet_id", nullable(uuidSchema), true, "Id of the fleet."},
		{"fleet_ref", nullable(textSchema), true, "Your own name of the fleet."},
		{"tsp_id", uuidSchema, true, "Id of the provider."},
		{"source_name", ref("TspEnum"), true, ""},
		{"credentials", freeSchema, true, "The credentials with every secret masked."},
		{"status", ref("ConnectionStatusEnum"), true, ""},
		{"description", nullable(textSchema), true, "What its owner calls it."},
	}
}

// tspProperties describe TSPIntegrationsRead, in its order.
func tspProperties() []property {
	return []property{
		{"tsp_id", uuidSchema, true, "Id of the provider."},
		{"slug", nullable(textSchema), true, "The provider's name in URLs."},
		{"source_name", nullable(ref("TspEnum")), true, "The provider's name in the other answers."},
		{
			"integrations", object{{"type", "object"}, {"additionalProperties", ref("IntegrationStatusEnum")}}, true,
			"Resource by resource, how far it is supported.",
		},
		{"implemented_count", intSchema, true, "How many resources are implemented."},
		{"not_implemented_count", intSchema, true, "How many are not implemented."},
		{"not_supported_count", intSchema, true, "How many the provider does not have."},
		{"write_support", ref("WriteSupport"), false, "What can be written. Absent: nothing. An extension of the contract."},
	}
}

// userReadProperties describe UserRead, in its order.
func userReadProperties() []property {
	text, flag, when, free := nullable(textSchema), nullable(boolSchema), nullable(timeSchema), nullable(freeSchema)
	const never = "Always null: no provider is asked for it."
	properties := []property{
		{"fleet_id", nullable(uuidSchema), true, "Id of the fleet."},
		{"fleet_ref", text, true, "Your own name of the fleet."},
		{"id", uuidSchema, true, "Id of the user."},
		{"created_at", timeSchema, true, "When we first heard of the user."},
		{"updated_at", timeSchema, true, "When what we know of the user last changed."},
		{"deleted_at", when, true, "Always null: a user who is gone is in no answer."},
		{"connection_id", uuidSchema, true, "The connection that the user was read from."},
		{"tsp_id", nullable(uuidSchema), true, "Id of the provider."},
		{"tsp_slug", text, true, "The provider's name in URLs."},
		{"source_name", ref("TspEnum"), true, ""},
		{"source_data", freeSchema, false, "All that was read of the user, in the form of a write's payload. Only with include_source_data."},
		{"source_id", textSchema, true, "Id of the user at the provider."},
		{"source_data_hash", object{{"type", "string"}, {"maxLength", 64}}, true, "Changes when source_data does."},
		{"occurred_at", when, true, never},
		{"execution_id", nullable(uuidSchema), true, never},
		{"schedule_id", nullable(uuidSchema), true, never},
		{"extras", free, true, never},
		{"username", text, true, "Login name."},
		{"started_at", when, true, never},
		{"ended_at", when, true, never},
		{"is_active", flag, true, ""},
		{"status", text, true, "Account status."},
		{"is_driver", flag, true, ""},
		{"user_designation", text, true, "Role or title."},
		{"user_email", text, true, ""},
		{"first_name", text, true, ""},
		{"last_name", text, true, ""},
		{"phone_number", text, true, ""},
		{"country_code", text, true, ""},
		{"license_country", text, true, ""},
		{"license_region", text, true, ""},
		{"license_number", text, true, ""},
		{"license_expiration", nullable(dateSchema), true, ""},
		{"employee_number", text, true, ""},
		{"company_groups", free, true, never},
		{"private_user_groups", free, true, never},
		{"report_groups", free, true, never},
		{"security_groups", free, true, never},
		{"authority_name", text, true, never},
		{"authority_address", text, true, never},
		{"company_name", text, true, never},
		{"company_address", text, true, never},
		{"carrier_number", text, true, ""},
		{"last_tsp_login", when, true, never},
		{"notes", text, true, ""},
		{"hos_ruleset_code", nullable(ref("HosRulesetCodeEnum")), true, ""},
		{"allow_yard_move", flag, true, ""},
		{"allow_personal_conveyance", flag, true, ""},
		{"allow_adverse_driving", flag, true, ""},
		{"default_time_zone", nullable(ref("TimezoneCodeEnum")), true, ""},
	}
	for i, p := range properties {
		if spec, ok := operation.SpecOf(operation.Field(p.name)); ok && p.text == "" {
			properties[i].text = spec.Meaning
		}
	}
	return properties
}
