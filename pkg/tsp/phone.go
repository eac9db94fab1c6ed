package tsp

import (
	"errors"
	"strings"

	"writeback/pkg/operation"
)

// PlusPhone writes a number with a plus and its country code, as digits; an error is
// a sentence for the partner that does not repeat the number.
func PlusPhone(number, code string) (string, error) {
	rest, international := strings.CutPrefix(strings.TrimSpace(number), "+")
	d := Digits(rest)
	dial := Digits(code)
	switch {
	case d == "" || strings.ContainsFunc(rest, notPhone):
		return "", errors.New("must be digits with the usual separators")
	case international && !strings.HasPrefix(d, dial):
		return "", errors.New("does not begin with the phone_country_code given with it")
	case international:
		return "+" + d, nil
	case dial == "":
		return "", errors.New("needs a country code; give phone_country_code with it")
	}
	return "+" + dial + AfterCode(d, dial), nil
}

// trunkZero are country codes after which no number begins with 0: one that does has the
// prefix that is dialled within the country only. Italy's, for one, is part of the number.
const trunkZero = " 27 31 32 33 41 43 44 46 49 61 64 353 "

// AfterCode are the digits that stand behind a country code, of a number that was given
// without a plus. No North American number has eleven digits: its first is the code.
func AfterCode(digits, code string) string {
	switch {
	case code == "1" && len(digits) == 11 && digits[0] == '1',
		len(digits) > 1 && digits[0] == '0' && strings.Contains(trunkZero, " "+code+" "):
		return digits[1:]
	}
	return digits
}

// SplitPhone takes a written number apart; false: the country code cannot be told.
func SplitPhone(text string) (number, code string, ok bool) {
	d := Digits(text)
	code = dialPrefix(d)
	if !strings.HasPrefix(text, "+") || code == "" {
		return "", "", false
	}
	return d[len(code):], "+" + code, true
}

// NationalPhone is a Rule's Convert: it gives the number without its country code and
// without a 0 before it, by which two forms of the same number are found to be one.
func NationalPhone(v operation.Value) (any, error) {
	if number, _, ok := SplitPhone(strings.TrimSpace(v.Text())); ok {
		return strings.TrimPrefix(number, "0"), nil
	}
	if d := Digits(v.Text()); d != "" && !strings.ContainsFunc(strings.TrimPrefix(strings.TrimSpace(v.Text()), "+"), notPhone) {
		return strings.TrimPrefix(AfterCode(d, "1"), "0"), nil
	}
	return nil, errors.New("must be digits with the usual separators")
}

// DialDigits is a Rule's Convert for a country code: it gives its digits.
func DialDigits(v operation.Value) (any, error) {
	code := strings.TrimSpace(v.Text())
	d := Digits(code)
	if code != "+"+d || d == "" || len(d) > 4 || d[0] == '0' {
		return nil, errors.New("must be a plus sign and one to four digits, the first of them not 0")
	}
	return d, nil
}

// dialPrefix finds the country code of an international number: codes are a
// prefix code, so one, two or three digits are told apart by how they begin.
func dialPrefix(d string) string {
	const twoDigits = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58" +
		" 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "
	switch {
	case len(d) < 5, d[0] == '0':
		return ""
	case d[0] == '1' || d[0] == '7':
		return d[:1]
	case strings.Contains(twoDigits, " "+d[:2]+" "):
		return d[:2]
	}
	return d[:3]
}

// Digits are those of a written number, but for the national prefix that (0) marks, as in
// +49 (0)30 123456: it is dialled within the country only.
func Digits(number string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, strings.Replace(number, "(0)", "", 1))
}

func notPhone(r rune) bool { return !strings.ContainsRune("0123456789 -.()/\u00a0", r) }
