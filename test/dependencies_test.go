package test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var requireLine = regexp.MustCompile(`(?m)^(?:require\s+|\t)(\S+\.\S+/\S+|\S+\.\S+) (v\S+)( // indirect)?$`)

// TestDependencies_EachHasAReason compares docs/dependencies.md with go.mod and
// with what the Go files import.
func TestDependencies_EachHasAReason(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	page, err := os.ReadFile("../docs/dependencies.md")
	require.NoError(t, err)

	required := map[string]bool{} // Module to whether it is direct.
	for _, m := range requireLine.FindAllStringSubmatch(string(mod), -1) {
		required[m[1]] = m[3] == ""
	}
	require.NotEmpty(t, required, "no requirement read from go.mod")
	for _, imported := range importsOf(t, "..") {
		if m := moduleOf(imported, required); m != "" {
			required[m] = true
		}
	}

	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| \\S").FindAllStringSubmatch(string(page), -1) {
		if listed[m[1]] {
			t.Errorf("docs/dependencies.md lists %s twice", m[1])
		}
		listed[m[1]] = true
		if _, ok := required[m[1]]; !ok {
			t.Errorf("docs/dependencies.md lists %s, which go.mod does not require", m[1])
		}
	}
	for m, direct := range required {
		if direct && !listed[m] {
			t.Errorf("docs/dependencies.md has no line for %s", m)
		}
	}
}

// moduleOf finds the module of a package: the longest required prefix.
func moduleOf(pkg string, required map[string]bool) string {
	longest := ""
	for m := range required {
		if (pkg == m || strings.HasPrefix(pkg, m+"/")) && len(m) > len(longest) {
			longest = m
		}
	}
	return longest
}

func importsOf(t *testing.T, root string) []string {
	t.Helper()
	var imports []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, p)
		}
		return nil
	})
	require.NoError(t, err)
	return imports
}
