package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGuarantees_NameTestsThatExist: a promise whose test was renamed or removed has
// none.
func TestGuarantees_NameTestsThatExist(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/guarantees.md")
	require.NoError(t, err)
	rows := regexp.MustCompile(`(?m)^\| (P\d+) \|.*$`).FindAllStringSubmatch(string(raw), -1)
	require.Len(t, rows, 12, "promises")
	var tests strings.Builder
	require.NoError(t, filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	}))
	name := regexp.MustCompile("`(Test\\w+)(\\*)?`")
	for _, row := range rows {
		columns := strings.Split(strings.Trim(row[0], "|"), " | ")
		require.Len(t, columns, 4, "%s has a promise, its limit and its proof", row[1])
		for _, column := range columns {
			require.NotEmpty(t, strings.TrimSpace(column), row[1])
		}
		named := name.FindAllStringSubmatch(columns[3], -1)
		require.NotEmpty(t, named, "%s names a test", row[1])
		for _, n := range named {
			want := "\nfunc " + n[1]
			if n[2] == "" {
				want += "("
			}
			require.Contains(t, tests.String(), want, row[1])
		}
	}
}
