package wire

import (
	"fmt"
	"strings"

	"writeback/pkg/operation"
)

// maxIgnored is how many ignored keys are told of a body that has no others.
const maxIgnored = 3

// nothingToUpdate names the keys that were sent in vain, so that a misspelt one is seen.
func nothingToUpdate(ignored []string) error {
	message := "no fields to update"
	if told := ignored[:min(len(ignored), maxIgnored)]; len(told) > 0 {
		message += "; unknown, and ignored: " + strings.Join(told, ", ")
	}
	if len(ignored) > maxIgnored {
		message += " and others"
	}
	return badRequest(message)
}

// finish joins the two spellings, checks what only shows over several fields,
// and gives the result.
func (d *userDecoder) finish() (UserWrite, error) {
	if !d.connection {
		d.faults = append(d.faults, operation.Fault{Path: "body.connection_id", Message: "is required", Type: typeMissing})
	}
	if d.element != nil && !d.named {
		d.faults = append(d.faults, operation.Fault{Path: "body.user_id", Message: "is required", Type: typeMissing})
	}
	d.joinSpellings()
	d.checkActive()
	if len(d.faults) > 0 {
		return UserWrite{}, invalid(d.faults)
	}
	return d.out, nil
}

func (d *userDecoder) joinSpellings() {
	for f, v := range d.nested {
		d.out.Changes[f] = v
	}
	for _, spec := range operation.UserFields {
		v, ok := d.flat[spec.Name]
		if !ok {
			continue
		}
		if n, both := d.nested[spec.Name]; both && n != v {
			d.faults = append(d.faults, operation.Fault{
				Path: "body." + string(spec.Name), Input: inputOfValue(v), Type: typeConflict,
				Message: "differs from the same setting inside hos_tracking",
			})
			continue
		}
		d.out.Changes[spec.Name] = v
	}
}

// checkActive refuses a status that contradicts is_active. A null on either
// side contradicts nothing.
func (d *userDecoder) checkActive() {
	active, a := d.out.Changes[operation.FieldIsActive]
	status, s := d.out.Changes[operation.FieldStatus]
	if !a || !s || active.IsNull() || status.IsNull() {
		return
	}
	if active.Flag() != (status.Text() == operation.StatusActive) {
		d.faults = append(d.faults, operation.Fault{
			Path: "body.status", Input: status.Text(), Type: typeConflict,
			Message: fmt.Sprintf("contradicts is_active, which is %t", active.Flag()),
		})
	}
}
