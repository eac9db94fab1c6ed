package wire

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"writeback/pkg/operation"
)

// enumNames are the schemas of the enums of the field table.
var enumNames = map[operation.Field]string{
	operation.FieldStatus:            "UserStatusEnum",
	operation.FieldHOSRulesetCode:    "HosRulesetCodeEnum",
	operation.FieldDefaultTimeZone:   "TimezoneCodeEnum",
	operation.FieldHOSComplianceType: "HosComplianceTypeEnum",
	operation.FieldHOSTrackingMethod: "HosTrackingMethodEnum",
}

// schemas are all components of the document.
func schemas() object {
	out := object{
		{"UserUpdate", userSchema(updateText)},
		{"UserCreate", userSchema(createText)},
		{"HosTracking", hosTrackingSchema()},
		{"ResourceOperation", structSchema("The answer to a write.", writeViewProperties())},
		{"ResourceOperationRead", structSchema("One operation as it is read, listed and sent in events.", readViewProperties())},
		{"ResourceOperationLog", structSchema("One attempt at the provider.", logProperties())},
		{"DryRun", structSchema("What a write would send to the provider. An extension of the contract.", dryRunProperties())},
		{"DryRunRequest", structSchema("One call that would change something at the provider.", dryRunRequestProperties())},
		{"Waiting", structSchema("Why a pending operation is not being called just now. An extension of the contract.", waitingProperties())},
		{"UserRead", structSchema("A user as the provider last showed it.", userReadProperties())},
		{"ConnectionRead", structSchema("A fleet's connection to one provider.", connectionReadProperties())},
		{"TspIntegrationsRead", structSchema("A provider and which of its resources are supported.", tspProperties())},
		{"WriteSupport", structSchema("What can be written to a provider, by resource. An extension of the contract.", writeSupportProperties())},
		{"UserWriteSupport", structSchema("What can be written of a user.", userWriteSupportProperties())},
		{"CreateSupport", structSchema("Whether users can be created, and what that needs.", createSupportProperties())},
		{"FieldSupport", structSchema("How one field can be written.", fieldSupportProperties())},
	}
	for _, item := range []string{"UserRead", "ResourceOperationRead", "ConnectionRead", "TspIntegrationsRead"} {
		out = append(out, member{pageName(item), pageSchema(item)})
	}
	for _, spec := range operation.UserFields {
		if name, ok := enumNames[spec.Name]; ok {
			out = append(out, member{name, enumSchema(spec.Meaning, spec.Enum)})
		}
	}
	out = append(out,
		member{"ResourceEnum", enumSchema(fmt.Sprintf("The kind of a resource, one of %d.", len(Resources)), Resources)},
		member{"TspEnum", sourceSchema()},
		member{"ResourceOperationTypeEnum", enumSchema("What an operation does.", operationTypes)},
		member{"ResourceOperationStatusEnum", enumSchema("Where an operation stands. It goes from pending to success or failed and then never changes.", operationStatuses)},
		member{"ResourceOperationLogStatusEnum", enumSchema("How one attempt ended.", attemptStatuses)},
		member{"ResourceOperationErrorTypeEnum", enumSchema(
			"Why an attempt failed: the credential (auth), the values (validation), the way to the provider (network), or the provider itself (tsp). Only network and tsp are retried.", errorTypes)},
		member{"WaitReasonEnum", enumSchema("Why a pending operation waits.", waitReasons)},
		member{"ConnectionStatusEnum", enumSchema("State of a connection. Only an active one takes writes.", ConnectionStatuses)},
		member{"IntegrationStatusEnum", enumSchema("How far a resource is supported.", IntegrationStatuses)},
	)
	return slices.Concat(out, batchSchemas(), webhookSchemas(), errorSchemas())
}

// fieldSchema is the schema of a field's value without null.
func fieldSchema(spec operation.Spec) object {
	switch spec.Kind {
	case operation.KindBool:
		return boolSchema
	case operation.KindDate:
		return dateSchema
	case operation.KindAlpha3:
		return object{{"type", "string"}, {"pattern", patternAlpha3}}
	case operation.KindEnum:
		if name, ok := enumNames[spec.Name]; ok {
			return ref(name)
		}
		return enumSchema(spec.Meaning, spec.Enum)
	}
	return textSchema
}

const (
	bodyText   = " Unknown keys are ignored. The whole body is at most 64 KiB, nests at most 32 levels, and has no key twice."
	updateText = "What to change. At least one field besides connection_id must be there. A field that is absent stays as it is; " +
		"null clears it." + bodyText
	createText = "The new user. What must be there besides connection_id depends on the provider; null is the same as absent there." + bodyText
)

// userSchema is that of both bodies: they have the same fields.
func userSchema(text string) object { return structSchema(text, userProperties()) }

func userProperties() []property {
	properties := []property{{"connection_id", uuidSchema, true, "The connection that receives the write."}}
	nested := false
	for _, spec := range operation.UserFields {
		if spec.Parent != "" && !nested {
			nested = true
			properties = append(properties, property{spec.Parent, nullable(ref("HosTracking")), false, "Hours-of-service settings. Null clears both."})
		}
		text := spec.Meaning
		if spec.Parent != "" {
			text += " The same as inside " + spec.Parent + "; where both are given they must agree."
		}
		properties = append(properties, property{string(spec.Name), nullable(fieldSchema(spec)), false, text})
	}
	return properties
}

func hosTrackingSchema() object {
	var properties []property
	for _, spec := range operation.UserFields {
		if spec.Parent == operation.HOSTracking {
			properties = append(properties, property{string(spec.Name), nullable(fieldSchema(spec)), false, spec.Meaning})
		}
	}
	return structSchema("Hours-of-service settings of a driver.", properties)
}

func sourceSchema() object {
	return object{
		{"type", "string"},
		{"description", "The provider's name. An open set: new names appear without notice, so keep what you do not know. " +
			fmt.Sprintf("The %d names seen so far are listed as x-known-values.", len(operation.SourceNames))},
		{"examples", []string{"samsara", "motive", "geotab", "catena_simulator"}},
		{"x-known-values", operation.SourceNames},
	}
}

func pageSchema(item string) object {
	cursor := nullable(textSchema)
	return structSchema("One page of a list.", []property{
		{"items", arrayOf(ref(item)), true, "What is on the page."},
		{"current_page", cursor, false, "Cursor of this page."},
		{"current_page_backwards", cursor, false, "Cursor of this page, read from its end."},
		{"previous_page", cursor, false, "Cursor of the page before. Null: this is the first."},
		{"next_page", cursor, false, "Cursor of the page after. Null: this is the last."},
	})
}

// errorNames are the schemas of the refusals.
var errorNames = map[int]string{
	http.StatusBadRequest:            "BadRequest",
	http.StatusUnauthorized:          "Unauthorized",
	http.StatusForbidden:             "Forbidden",
	http.StatusNotFound:              "NotFound",
	http.StatusMethodNotAllowed:      "MethodNotAllowed",
	http.StatusRequestTimeout:        "RequestTimeout",
	http.StatusConflict:              "Conflict",
	http.StatusRequestEntityTooLarge: "ContentTooLarge",
	http.StatusUnsupportedMediaType:  "UnsupportedMediaType",
	http.StatusUnprocessableEntity:   "UnprocessableEntity",
	http.StatusTooManyRequests:       "TooManyRequests",
	http.StatusInternalServerError:   "InternalServerError",
	http.StatusNotImplemented:        "NotImplementedResponse",
	http.StatusServiceUnavailable:    "ServiceUnavailable",
	http.StatusGatewayTimeout:        "GatewayTimeout",
}

// simpleErrors are the refusals with the simple shape, in the document's order.
var simpleErrors = []int{400, 401, 403, 404, 405, 408, 409, 413, 415, 501, 503, 504}

func errorSchemas() object {
	var out object
	for _, status := range simpleErrors {
		out = append(out, member{errorNames[status], structSchema("Body of a refusal: "+strings.ToLower(http.StatusText(status))+".", []property{
			{"code", withDefault(intSchema, status), true, "The HTTP status."},
			{"message", withDefault(textSchema, http.StatusText(status)), true, "The status in words."},
			{"detail", nullable(textSchema), true, "A sentence about this refusal."},
		})})
	}
	return append(out,
		member{"UnprocessableEntity", structSchema("Body of a refusal for faults in the input.", []property{
			{"code", withDefault(intSchema, 422), true, "The HTTP status."},
			{"message", withDefault(textSchema, "Invalid Request Body"), true, "Always the same; the faults may be in the path or the query too."},
			{"detail", nullable(arrayOf(ref("ValidationErrorDetail"))), true, "Every fault of the request."},
		})},
		member{"ValidationErrorDetail", structSchema("One fault.", []property{
			{"path", textSchema, true, "Where, with dots; starts with body, query, path or header."},
			{"input", textSchema, true, "The value as text, cut to 100 characters."},
			{"message", textSchema, true, "What is wrong, for people."},
			{"error_type", textSchema, true, "What is wrong, for programs: " + strings.Join(faultTypes, ", ") + "."},
		})},
		member{"TooManyRequests", structSchema("Body of a refusal for too many requests.", []property{
			{"code", withDefault(intSchema, http.StatusTooManyRequests), true, "The HTTP status."},
			{"message", withDefault(textSchema, http.StatusText(http.StatusTooManyRequests)), true, "The status in words."},
			{"detail", nullable(ref("RetryAfterDetail")), true, "When to come back."},
		})},
		member{"RetryAfterDetail", structSchema("When to come back.", []property{
			{"retry_after_seconds", intSchema, true, "Seconds to wait, at least 1. The Retry-After header says the same."},
			{"message", textSchema, true, "A sentence about this refusal."},
		})},
		member{"InternalServerError", structSchema("Body of an internal error.", []property{
			{"message", withDefault(textSchema, http.StatusText(500)), true, "Always the same."},
		})},
	)
}

// faultTypes are the slugs that a fault can have.
var faultTypes = []string{
	typeMissing, typeUUID, typeBool, typeEnum, typePattern, typeString, "string_too_short", "date_parsing", "datetime_parsing",
	"datetime_order", "window_too_long", "int_parsing", "greater_than_equal", "less_than_equal", "too_long", "repeated",
	"object_type", "list_type", "url_parsing", typeConflict, "extra_forbidden", "string_too_long", "frozen_field", "value_error",
	"idempotency_key_reused",
}
