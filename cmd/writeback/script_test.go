package main

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/webhook"
)

// TestMain lets the scripts run this test's binary as the program.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"writeback": main})
}

// leakChecked fails a run that leaves a goroutine behind.
type leakChecked struct{ *testing.M }

// Run gives the exit code.
func (m leakChecked) Run() int {
	code := m.M.Run()
	// The client looks once a second whether its pool was closed while a server was away.
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")); err != nil && code == 0 {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return code
}

// TestScripts runs the program as an operator does, by testdata/*.txtar. The scripts
// have `code N writeback...`, which wants that exit code, and `keys FILE`, which
// wants the names in the JSON of the last output to be those of the file.
func TestScripts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	h := newHooks(t, d)
	hook := h.subscribe(uuid.Must(uuid.NewV7()), "https://example.com/hook")
	h.wait(hook, 1)
	require.NoError(t, h.journal.Sent(t.Context(), webhook.Sent{Webhook: hook.ID, At: time.Now(), Code: 503}))
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			for _, v := range d.environ {
				if name, value, _ := strings.Cut(v, "="); name != "WRITEBACK_ADMIN_ADDR" {
					env.Setenv(name, value)
				}
			}
			env.Setenv("REDIS", env.Getenv("WRITEBACK_REDIS_URL"))
			env.Setenv("CONNECTION", d.conn.String())
			env.Setenv("OPERATION", d.op.ID.String())
			env.Setenv("PARTNER", d.op.PartnerID.String())
			env.Setenv("WEBHOOK", hook.ID.String())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": exitCode, "keys": jsonKeys},
	})
}

func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, not %d", strings.Join(args[1:], " "), got, want)
	}
}

// jsonKeys wants the names in the last output to be those of the file, one in a line.
func jsonKeys(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	names := map[string]bool{}
	collect(v, "", names)
	got := strings.Join(slices.Sorted(maps.Keys(names)), "\n")
	want := strings.TrimSpace(ts.ReadFile(args[0]))
	if got != want {
		ts.Fatalf("the JSON has the names\n%s\nand not\n%s", got, want)
	}
}

func collect(v any, path string, names map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			names[strings.TrimPrefix(path+"."+name, ".")] = true
			collect(value, path+"."+name, names)
		}
	case []any:
		for _, value := range v {
			collect(value, path+"[]", names)
		}
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	collect([]any{map[string]any{"a": map[string]any{"b": 1}}}, "", names)
	require.Equal(t, map[string]bool{"[].a": true, "[].a.b": true}, names)
}
