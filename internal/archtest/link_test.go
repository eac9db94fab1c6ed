package archtest

import (
	"go/build"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrograms_DoNotLinkTheSandbox follows the imports of the programs that run in
// production, through every package of the module.
func TestPrograms_DoNotLinkTheSandbox(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"cmd/api", "cmd/worker"} {
		linked := map[string]bool{}
		follow(t, program, linked)
		if !linked["pkg/tsp/all"] {
			t.Fatalf("%s: the imports were not followed", program)
		}
		for name := range linked {
			switch {
			case name == "internal/sandbox", name == "pkg/tsp/all/boxes", kind(name) == "pkg/tsp/*/box",
				name == "internal/devstack", name == "internal/testenv", name == "pkg/tsp/tsptest":
				t.Errorf("%s links %s, which is for development and tests", program, name)
			}
		}
	}
}

func follow(t *testing.T, name string, linked map[string]bool) {
	t.Helper()
	if linked[name] {
		return
	}
	linked[name] = true
	p, err := build.ImportDir(filepath.Join("..", "..", filepath.FromSlash(name)), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, imported := range p.Imports {
		if ours, ok := strings.CutPrefix(imported, module); ok {
			follow(t, ours, linked)
		}
	}
}
