package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "writeback/"

// rules says what each room may import of the module, besides nothing. "/..." at
// the end means the room and everything below it. Rooms below cmd/ may import
// everything, within onlyIn. A room that is not listed fails: give it a line.
var rules = map[string][]string{
	"pkg/operation":            {"internal/appendjson"},
	"pkg/operation/redisstore": {"internal/cborlite", "internal/convoy", "pkg/operation"},
	"pkg/tsp":                  {"pkg/operation"},
	"pkg/tsp/httpcall":         {"internal/retryafter", "pkg/operation", "pkg/tsp"},
	"pkg/tsp/tsptest":          {"pkg/operation", "pkg/tsp", "pkg/tsp/httpcall"},
	"pkg/tsp/all":              {"pkg/tsp/..."},
	// Every other folder below pkg/tsp is an adapter.
	"pkg/tsp/*": {"pkg/operation", "pkg/tsp", "pkg/tsp/httpcall"},
	// What the sandbox has of a provider lies beside its adapter and knows it not.
	"pkg/tsp/*/box":     {"internal/sandbox"},
	"pkg/tsp/all/boxes": {"internal/sandbox", "pkg/tsp/..."},

	"internal/appendjson": {},
	"internal/archtest":   {},
	"internal/cborlite":   {},
	// config has a variable for each provider of the list.
	"internal/config":     {"internal/redisurl", "pkg/tsp/all"},
	"internal/redisurl":   {},
	"internal/retryafter": {},
	"internal/telemetry":  {},
	// The label provider has the names of the list.
	"internal/metrics":   {"pkg/tsp/all"},
	"internal/testenv":   {},
	"internal/wire":      {"internal/appendjson", "pkg/operation"},
	"internal/convoy":    {},
	"internal/natsq":     {"internal/convoy", "internal/metrics", "internal/telemetry", "pkg/operation"},
	"internal/newer":     {},
	"internal/directory": {"internal/natsq", "internal/newer", "pkg/operation", "pkg/tsp"},
	"internal/auth":      {"pkg/operation"},
	// httpapi names the values that auth and directory give: who calls, and whose
	// connection it is. It does not know how they find them.
	"internal/httpapi": {
		"internal/metrics", "internal/telemetry", "pkg/operation", "pkg/tsp", "internal/wire", "internal/auth", "internal/directory", "internal/admission", "internal/webhook", "internal/tail",
	},
	"internal/tail": {"pkg/operation", "internal/natsq", "internal/metrics", "internal/telemetry"},
	// work is the trip over the scripts of the store, so it names their types.
	"internal/work": {"internal/metrics", "internal/telemetry", "pkg/operation", "pkg/operation/redisstore", "pkg/tsp", "pkg/tsp/httpcall", "internal/directory"},
	// A delivery goes over the scripts of the store, as an operation does.
	"internal/webhook":          {"internal/metrics", "internal/newer", "internal/retryafter", "internal/telemetry", "pkg/operation", "pkg/operation/redisstore", "pkg/webhook", "internal/wire"},
	"internal/webhook/registry": {"internal/natsq", "internal/newer", "pkg/operation", "internal/webhook", "internal/wire"},
	"internal/webhook/journal":  {"internal/webhook"},
	"internal/egress":           {},
	"internal/seal":             {},
	"pkg/webhook":               {},
	"internal/sandbox":          {"pkg/operation"},
	"internal/devissuer":        {},
	"internal/grant":            {},
	// app is the wiring that the programs share.
	"internal/app":      {"pkg/...", "internal/..."},
	"internal/devstack": {"pkg/...", "internal/..."},
	// doctor asks every dependency in its own words.
	"internal/doctor": {
		"pkg/operation", "pkg/operation/redisstore", "internal/config", "internal/directory", "internal/natsq", "internal/redisurl", "internal/seal", "internal/webhook/registry", "pkg/tsp/all",
	},
	"test":               {"pkg/...", "internal/..."},
	"test/assumptions":   {"pkg/...", "internal/..."},
	"test/e2e":           {"pkg/...", "internal/...", "test/..."},
	"test/e2e/stack":     {"pkg/...", "internal/...", "test/..."},
	"test/redismodes":    {"pkg/...", "internal/...", "test/..."},
	"test/rolling":       {"pkg/...", "internal/...", "test/..."},
	"test/telemetry":     {"pkg/...", "internal/...", "test/..."},
	"test/otlp":          {},
	"test/monitoring":    {"internal/metrics"},
	"test/chaos":         {"pkg/...", "internal/...", "test/..."},
	"test/webhooks":      {"pkg/...", "internal/...", "test/..."},
	"test/leak":          {"pkg/...", "internal/..."},
	"test/copies":        {"pkg/...", "internal/redisurl"},
	"internal/history":   {},
	"internal/admission": {"pkg/operation"},
	"internal/dirsync":   {"internal/metrics", "pkg/operation", "internal/natsq", "pkg/operation", "pkg/operation/redisstore", "pkg/tsp", "internal/directory"},
}

// onlyIn lists rooms that only some may know, on top of rules; tests may know
// all of them.
var onlyIn = map[string][]string{
	"internal/testenv":   {},
	"internal/history":   {},
	"pkg/tsp/tsptest":    {},
	"internal/sandbox":   {"internal/devstack", "cmd/sandbox", "cmd/dev", "cmd/demo", "pkg/tsp/*/box", "pkg/tsp/all/boxes"},
	"pkg/tsp/*/box":      {"cmd/sandbox", "cmd/demo", "pkg/tsp/all/boxes"},
	"pkg/tsp/all/boxes":  {"internal/devstack", "cmd/sandbox"},
	"internal/devissuer": {"internal/devstack", "cmd/sandbox", "cmd/dev", "cmd/demo"},
	"internal/app":       {"internal/devstack", "cmd/api", "cmd/worker"},
	"internal/devstack":  {"cmd/dev", "cmd/demo"},
}

// TestImports_FollowTheTable reads the imports of every Go file of the module.
func TestImports_FollowTheTable(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if base == "testdata" || base == "bin" || strings.HasPrefix(base, ".") && len(base) > 2 {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != root {
				return filepath.SkipDir // a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		files++
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		checkFile(t, name, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("read %d Go files: this is not the module's root", files)
	}
}

func checkFile(t *testing.T, name, rel string) {
	t.Helper()
	room := path.Dir(rel)
	if _, ok := allowed(room); !ok {
		t.Errorf("%s: room %q has no line in the import rules", rel, room)
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		t.Errorf("%s: %v", rel, err)
		return
	}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Errorf("%s: %v", rel, err)
			continue
		}
		if why := forbidden(room, imported, strings.HasSuffix(rel, "_test.go")); why != "" {
			t.Errorf("%s imports %s: %s", rel, imported, why)
		}
	}
}

// forbidden says why a room must not import a package, or nothing.
func forbidden(room, imported string, test bool) string {
	target, ours := strings.CutPrefix(imported, module)
	if !ours || target == room {
		return ""
	}
	if strings.HasPrefix(target, "cmd/") {
		return "nothing imports a program"
	}
	if test {
		return "" // Tests join real parts.
	}
	if knows, limited := onlyIn[kind(target)]; limited && !slices.Contains(knows, kind(room)) && room != "test" && !strings.HasPrefix(room, "test/") {
		return "only for tests and " + strings.Join(knows, ", ")
	}
	if may, _ := allowed(room); !matches(may, target) {
		return "not in the import rules of " + room
	}
	return ""
}

// allowed gives what a room may import and whether the room is known.
func allowed(room string) ([]string, bool) {
	if strings.HasPrefix(room, "cmd/") {
		return []string{"pkg/...", "internal/..."}, true
	}
	if may, ok := rules[room]; ok {
		return may, true
	}
	may, ok := rules[kind(room)]
	return may, ok
}

// kind gives the pattern that a room without a line of its own falls under.
func kind(room string) string {
	switch dir, base := path.Split(room); {
	case rules[room] != nil || onlyIn[room] != nil:
	case dir == "pkg/tsp/":
		return "pkg/tsp/*"
	case base == "box" && path.Dir(path.Clean(dir)) == "pkg/tsp":
		return "pkg/tsp/*/box"
	}
	return room
}

func matches(patterns []string, target string) bool {
	for _, p := range patterns {
		below, whole := strings.CutSuffix(p, "/...")
		if p == target || whole && (below == target || strings.HasPrefix(target, below+"/")) {
			return true
		}
	}
	return false
}

// TestForbidden_ByExample keeps the rules from becoming so wide that they forbid
// nothing.
func TestForbidden_ByExample(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		room, imported string
		test, bad      bool
	}{
		{"pkg/tsp/samsara", "writeback/pkg/tsp/motive", false, true},
		{"pkg/tsp/samsara", "writeback/pkg/tsp/httpcall", false, false},
		{"pkg/operation", "writeback/internal/wire", false, true},
		{"internal/work", "writeback/internal/natsq", false, true},
		{"internal/work", "writeback/internal/testenv", true, false},
		{"internal/httpapi", "writeback/pkg/operation/redisstore", false, true},
		{"cmd/api", "writeback/pkg/operation/redisstore", false, false},
		{"cmd/api", "writeback/internal/sandbox", false, true},
		{"cmd/worker", "writeback/pkg/tsp/all/boxes", false, true},
		{"pkg/tsp/all", "writeback/pkg/tsp/samsara/box", false, true},
		{"pkg/tsp/all", "writeback/pkg/tsp/all/boxes", false, true},
		{"pkg/tsp/samsara", "writeback/pkg/tsp/samsara/box", false, true},
		{"pkg/tsp/samsara", "writeback/pkg/tsp/samsara/box", true, false},
		{"pkg/tsp/samsara/box", "writeback/pkg/tsp/samsara", false, true},
		{"pkg/tsp/samsara/box", "writeback/internal/sandbox", false, false},
		{"pkg/tsp/all/boxes", "writeback/pkg/tsp/samsara/box", false, false},
		{"cmd/worker", "writeback/internal/testenv", false, true},
		{"cmd/dev", "writeback/internal/devstack", false, false},
		{"internal/work", "writeback/cmd/api", true, true},
		{"internal/wire", "net/http", false, false},
	} {
		if why := forbidden(c.room, c.imported, c.test); (why != "") != c.bad {
			t.Errorf("%s imports %s (test %v): got %q, forbidden should be %v", c.room, c.imported, c.test, why, c.bad)
		}
	}
}
