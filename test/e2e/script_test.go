package e2e_test

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"writeback/internal/testenv"
)

// TestScripts runs the programs as an operator does, by testdata/*.txtar. The
// scripts have `code N program...`, which wants that exit code.
func TestScripts(t *testing.T) {
	bin := testenv.Programs(t, "api", "worker", "sandbox")
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": exitCode},
	})
}
