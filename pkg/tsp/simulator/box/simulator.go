// Package box is what the provider sandbox has of the simulator, which has no wire: a
// dev connection. For development and tests only.
package box

import (
	"fmt"

	"writeback/internal/sandbox"
)

// Name of the provider.
const Name = "catena_simulator"

// Part is the provider.
func Part() sandbox.Part {
	return sandbox.Part{
		Name:        Name,
		Connections: []sandbox.Connection{{Digit: 4, SourceID: UserID}},
	}
}

// UserID is the simulator's id of user n, for example "sim-05".
func UserID(n int) string { return fmt.Sprintf("sim-%02d", n) }
