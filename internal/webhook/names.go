package webhook

import (
	"slices"
	"strings"

	"writeback/internal/wire"
)

// The events that are told: those of wire.ToldEvents.
const (
	EventCreated   = "resource_operation.created"
	EventSucceeded = "resource_operation.succeeded"
	EventFailed    = "resource_operation.failed"
	EventStaled    = "webhook.staled"
)

// Expand gives the events that a name of a new subscription stands for: itself, or
// every one of a family for a name that ends in ".*". None: nothing is ever told
// under that name.
func Expand(name string) []string {
	events := wire.ToldEvents()
	family, all := strings.CutSuffix(name, "*")
	if !all {
		if slices.Contains(events, name) {
			return []string{name}
		}
		return nil
	}
	var out []string
	for _, e := range events {
		if strings.HasSuffix(family, ".") && strings.HasPrefix(e, family) {
			out = append(out, e)
		}
	}
	return out
}
