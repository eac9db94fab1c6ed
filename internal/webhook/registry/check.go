package registry

import (
	"writeback/internal/webhook"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// Check gives the faults of an address and of an event's name, so that they can be
// told together with others. Nil is not looked at.
func (r *Registry) Check(address, event *string) []operation.Fault {
	faults := r.faults(address, nil, "")
	if event != nil {
		faults = append(faults, eventFaults(*event)...)
	}
	return faults
}

func eventFaults(name string) []operation.Fault {
	if len(webhook.Expand(name)) > 0 {
		return nil
	}
	return []operation.Fault{wire.UnsentEvent(name)}
}
