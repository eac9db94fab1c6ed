package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unknown warns of variables with our prefix that no program knows.
func unknown(given map[string]string) []string {
	known := Known()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) {
			continue
		}
		out = append(out, name+" "+notKnown(name, known))
	}
	return out
}

func notKnown(name string, known []string) string {
	text := "is not a variable that Writeback knows"
	if near := nearest(name, known); near != "" {
		text += fmt.Sprintf("; did you mean %s?", near)
	}
	return text
}

// nearest gives the name that is at most three typing errors away, or "".
func nearest(name string, names []string) string {
	best, least := "", 4
	for _, n := range names {
		if d := distance(name, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance counts the insertions, deletions and changes between two texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
