package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/config"
)

// shipped gives the text of everything beside the code, by path from the root.
func shipped(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	add := func(name string) {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		texts[strings.TrimPrefix(filepath.ToSlash(name), "../")] = string(raw)
	}
	for _, pattern := range []string{"../*.md", "../Dockerfile", "../docker-compose.yml", "../Makefile"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, names, pattern)
		for _, name := range names {
			add(name)
		}
	}
	for _, dir := range []string{"../docs", "../deploy"} {
		require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				add(name)
			}
			return err
		}))
	}
	return texts
}

// TestDocuments_NameOnlyKnownVariables finds a variable that a document or a
// manifest names and no program reads.
func TestDocuments_NameOnlyKnownVariables(t *testing.T) {
	t.Parallel()
	known := config.Known()
	variable := regexp.MustCompile(`WRITEBACK_[A-Z_]*[A-Z]`)
	for name, text := range shipped(t) {
		for _, v := range variable.FindAllString(text, -1) {
			if !slices.Contains(known, v) {
				t.Errorf("%s names %s, which no program reads", name, v)
			}
		}
	}
}

// TestDocuments_LinksLeadSomewhere follows the links between the documents.
func TestDocuments_LinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	found := 0
	for name, text := range shipped(t) {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			found++
			if _, err := os.Stat(filepath.Join("..", filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			}
		}
	}
	require.Greater(t, found, 10, "no links were read")
}

// TestDocuments_AnchorsAndPathsExist follows links to sections, and finds the files that are named.
func TestDocuments_AnchorsAndPathsExist(t *testing.T) {
	t.Parallel()
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	unsaid := regexp.MustCompile(`[^\w\- ]`)
	anchor := regexp.MustCompile(`\]\(([^)#:]*)#([^)]+)\)`)
	path := regexp.MustCompile("`((?:cmd|internal|pkg|deploy|docs|scripts|test|bench)/[\\w./*-]+)`")
	texts, found := shipped(t), 0
	for name, text := range texts {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		for _, m := range anchor.FindAllStringSubmatch(text, -1) {
			found++
			target := name
			if m[1] != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), m[1]))
			}
			var anchors []string
			for _, h := range heading.FindAllStringSubmatch(texts[target], -1) {
				anchors = append(anchors, strings.ReplaceAll(unsaid.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
			}
			require.Contains(t, anchors, m[2], "%s links to %s", name, m[0])
		}
		for _, m := range path.FindAllStringSubmatch(text, -1) {
			found++
			matches, err := filepath.Glob(filepath.Join("..", m[1]))
			require.NoError(t, err)
			require.NotEmpty(t, matches, "%s names %s, which does not exist", name, m[1])
		}
	}
	require.Greater(t, found, 20, "nothing was read")
}

// TestMakefile_TargetsInDocumentsExist finds a `make x` that is no target.
func TestMakefile_TargetsInDocumentsExist(t *testing.T) {
	t.Parallel()
	texts := shipped(t)
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z-]*):`).FindAllStringSubmatch(texts["Makefile"], -1) {
		targets[m[1]] = true
	}
	for _, fixed := range []string{"help", "demo", "dev", "test", "bench", "lint"} {
		require.True(t, targets[fixed], "make %s is promised", fixed)
	}
	mention := regexp.MustCompile("(?m)(?:`|^ {4})make ([a-z][a-z-]*)")
	for name, text := range texts {
		for _, m := range mention.FindAllStringSubmatch(text, -1) {
			if strings.HasSuffix(name, ".md") && !targets[m[1]] {
				t.Errorf("%s says `make %s`, which is no target", name, m[1])
			}
		}
	}
}

// TestOperations_BackUpEveryBucket: a bucket that the code makes and the backup leaves out is
// missed only when it is needed.
func TestOperations_BackUpEveryBucket(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	name := regexp.MustCompile(`(?i)bucket\s*=\s*"(writeback-[a-z-]+)"`)
	found := map[string]bool{}
	require.NoError(t, filepath.WalkDir("../internal", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
			require.Contains(t, string(page), "KV_"+m[1]+" ", "%s: docs/operations.md does not back it up", path)
		}
		return err
	}))
	require.GreaterOrEqual(t, len(found), 5, "%v", found)
}
