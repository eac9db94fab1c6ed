package tsp

import (
	"errors"
	"strings"

	"writeback/pkg/operation"
)

// OnlyTrue makes a Convert for a flag that is always true at the provider: true says
// nothing new, and anything else is refused with why, a sentence for the partner.
func OnlyTrue(why string) func(operation.Value) (any, error) {
	return func(v operation.Value) (any, error) {
		if v.Flag() {
			return Omit, nil
		}
		return nil, errors.New(why)
	}
}

// Filled makes a Convert for a text that must hold more than blanks; else it is refused
// with why, a sentence for the partner.
func Filled(why string) func(operation.Value) (any, error) {
	return func(v operation.Value) (any, error) {
		if strings.TrimSpace(v.Text()) == "" {
			return nil, errors.New(why)
		}
		return v.Text(), nil
	}
}
