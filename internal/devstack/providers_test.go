package devstack_test

import (
	"testing"

	"writeback/internal/devstack"
	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
)

// everyProviderTakesAWrite goes the whole trip, logins included, at each
// connection of the demo partner.
func everyProviderTakesAWrite(t *testing.T, s *devstack.Stack) {
	t.Helper()
	for _, seed := range boxes.Seeds() {
		if seed.Connection != sandbox.ConnectionID(9) { // the other partner's
			asyncWrite(t, s, seed.Digit, "first_name", "Trip")
		}
	}
}
