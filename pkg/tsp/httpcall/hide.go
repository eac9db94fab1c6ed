package httpcall

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

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
	return out
}

// In gives the text with every hidden value blanked out, in each form that it has in a
// call and in any case: a provider may repeat our URL, and folds logins and names. Of a
// long text it gives the beginning only.
func (h Hidden) In(text string) string {
	text = plain(text) // else a character that is dropped later would part a value
	for _, s := range forms(h) {
		for _, s := range []string{s, strings.ToLower(s), strings.ToUpper(s)} {
			text = blank(text, s)
		}
	}
	return text
}

// blank puts hiddenText in the place of s, whatever case its ASCII letters have.
func blank(text, s string) string {
	folded, s := lower(text), lower(s)
	var out strings.Builder
	for {
		at := strings.Index(folded, s)
		if at < 0 {
			return out.String() + text
		}
		out.WriteString(text[:at])
		out.WriteString(hiddenText)
		text, folded = text[at+len(s):], folded[at+len(s):]
	}
}

// lower is strings.ToLower for ASCII letters alone: no byte moves.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// longText is how much of a text is looked at: masking a megabyte takes a while.
const longText = 16 << 10

// plain is a provider's text as valid UTF-8 of bounded length, without the characters that
// nobody sees: in a terminal they are commands.
func plain(s string) string {
	if len(s) > longText {
		s = s[:longText]
		s = s[:max(0, strings.LastIndexAny(s, " ,;\"<>\n"))] // half an address would not look like one
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || unicode.IsSpace(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
}

var (
	// email is an address in running text.
	email = regexp.MustCompile(`[\p{L}\p{N}._%+\-]+(?:@|%40)[\p{L}\p{N}\-]+(?:\.[\p{L}\p{N}\-]+)+`)
	// bearer is what an Authorization header says.
	bearer = regexp.MustCompile(`(?i)\b(basic|bearer) [a-z0-9._~+/\-]{16,}=*`)
	// phone is a run of digits as a person writes one: with or without a plus, blanks,
	// brackets, dots and dashes.
	phone = regexp.MustCompile(`\+?\(?[0-9][0-9 ().\-]{5,}[0-9]`)
	// named is what stands before a number that is an id by its name, and called before one
	// that is not: "phone number".
	named  = regexp.MustCompile(`(?i)(?:\bid|_id|[a-z]Id|\bno|number|\brequest|#)["']?\s*[:=#]?\s*["']?$`)
	called = regexp.MustCompile(`(?i)(?:phone|mobile|cell|fax|\btel)[ _-]?(?:no|number|#)["']?\s*[:=#]?\s*["']?$`)
	// clock is what stands before the seconds of a time.
	clock = regexp.MustCompile(`[0-9]:$`)
)

// lookBehind is how far before a number its name is looked for: a provider may send a
// megabyte of numbers, and each look costs as much as it is long.
const lookBehind = 64

// The fewest and most digits of a phone number.
const (
	minPhone = 7
	maxPhone = 15
)

// Mask blanks out what looks like an e-mail address, a phone number or an Authorization
// header in text that a provider wrote: it may name people whom we do not know. A number is left where it
// is part of a word or of a time, or where the text calls it an id.
func Mask(text string) string {
	text = bearer.ReplaceAllString(text, "$1 "+hiddenText)
	text = email.ReplaceAllLiteralString(text, hiddenText)
	var out strings.Builder
	last := 0
	for _, at := range phone.FindAllStringIndex(text, -1) {
		if !isPhone(text, at[0], at[1]) {
			continue
		}
		out.WriteString(text[last:at[0]])
		out.WriteString(hiddenText)
		last = at[1]
	}
	return out.String() + text[last:]
}

func isPhone(text string, from, to int) bool {
	found, head := text[from:to], text[max(0, from-lookBehind):from]
	n := len(strings.Map(digit, found))
	before, _ := utf8.DecodeLastRuneInString(text[:from])
	after, _ := utf8.DecodeRuneInString(text[to:])
	switch {
	case n < minPhone, n > maxPhone,
		inWord(before), inWord(after), after == ':', clock.MatchString(head), // part of an id, a UUID, a time
		calendar.MatchString(found), address.MatchString(found),
		strings.TrimLeft(found, "0123456789") == "" && named.MatchString(head) && !called.MatchString(head):
		return false
	}
	return true
}

// calendar is a date, address an IPv4 address: neither is a phone number.
var (
	calendar = regexp.MustCompile(`^(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}`)
	address  = regexp.MustCompile(`^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$`)
)

// inWord reports whether a number beside the rune is part of something longer.
func inWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-/@", r)
}

// digit is for strings.Map: it drops what is no digit.
func digit(r rune) rune {
	if r < '0' || r > '9' {
		return -1
	}
	return r
}
