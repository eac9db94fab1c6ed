package wire

import "writeback/pkg/operation"

// WriteSupport says what can be written to a provider, by resource.
type WriteSupport struct {
	User UserWriteSupport `json:"user"`
}

// UserWriteSupport says what can be written of a user.
type UserWriteSupport struct {
	Update bool          `json:"update"`
	Create CreateSupport `json:"create"`
	// Fields has every field of operation.UserFields.
	Fields map[operation.Field]FieldSupport `json:"fields"`
}

// CreateSupport says whether users can be created.
type CreateSupport struct {
	Supported bool `json:"supported"`
	// Required must not be nil.
	Required []operation.Field `json:"required"`
	Note     *string           `json:"note"`
}

// FieldSupport says how one field can be written.
type FieldSupport struct {
	Writable  bool    `json:"writable"`
	Clearable bool    `json:"clearable"`
	Note      *string `json:"note"`
}

// Missing are the faults of a create that lacks required fields, in their order. A
// field of instead may stand for the required one. A null says no more about a new
// user than nothing does.
func Missing(changes operation.Changes, required []operation.Field, instead map[operation.Field]operation.Field) []operation.Fault {
	var out []operation.Fault
	for _, f := range required {
		if given(changes, f) || instead[f] != "" && given(changes, instead[f]) {
			continue
		}
		fault := operation.Fault{Path: "body." + string(f), Message: "is required to create a user at this provider", Type: typeMissing}
		if changes.Has(f) {
			fault.Input = inputOfValue(operation.Null())
		}
		out = append(out, fault)
	}
	return out
}

func given(changes operation.Changes, f operation.Field) bool {
	v, ok := changes.Get(f)
	return ok && !v.IsNull()
}
