package httpcall

import (
	"cmp"
	"slices"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Hidden are values that a provider's own text may not repeat in an error: the
// credentials, what a write says about a person, a generated password. The zero
// value hides nothing. It does not change after it was made.
type Hidden []string

const (
	hiddenText = "[hidden]"
	// minHidden is the shortest value that is looked for: a shorter one says nothing
	// about a person and would blank out ordinary words.
	minHidden = 4
)

// Hide collects the credentials, the personal values of the changes, and more: the
// forms in which the provider gets such a value, and secrets made on the way.
func Hide(credentials tsp.Credentials, changes operation.Changes, more ...string) Hidden {
	var out Hidden
	add := func(s string) {
		if len(s) >= minHidden {
			out = append(out, s)
		}
	}
	for _, v := range credentials {
		add(v)
	}
	for f, v := range changes {
		if spec, _ := operation.SpecOf(f); !spec.Personal {
			continue
		}
		add(v.Text())
		if f == operation.FieldPhoneNumber {
			add(strings.Map(digit, v.Text()))
		}
	}
	for _, v := range more {
		add(v)
	}
	// Long values go first, since one may hold another.
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(out)
}

// In gives the text with every hidden value blanked out, as it is and in lower
// case: providers fold logins.
func (h Hidden) In(text string) string {
	for _, s := range h {
		text = strings.ReplaceAll(text, s, hiddenText)
		text = strings.ReplaceAll(text, strings.ToLower(s), hiddenText)
	}
	return text
}

// digit is for strings.Map: it drops what is no digit.
func digit(r rune) rune {
	if r < '0' || r > '9' {
		return -1
	}
	return r
}
