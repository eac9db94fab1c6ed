package geotab

import (
	"errors"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// maxPhone is the provider's limit of "+<code> <digits>".
const maxPhone = 20

const keyPhone = "phoneNumber"

// phoneNumber is a number as digits. With international they begin with the
// country code, which code is if it can be told.
type phoneNumber struct {
	digits        string
	international bool
	code          string
}

func parsePhone(text string) (phoneNumber, error) {
	rest, international := strings.CutPrefix(strings.TrimSpace(text), "+")
	n := phoneNumber{digits: tsp.Digits(rest), international: international}
	if n.digits == "" || strings.ContainsFunc(rest, notPhone) {
		return n, errors.New("must be digits with the usual separators")
	}
	if international {
		_, code, _ := tsp.SplitPhone("+" + n.digits)
		n.code = strings.TrimPrefix(code, "+")
	}
	return n, nil
}

// national takes off the country code, and what else cannot stand behind it.
func (n phoneNumber) national(code string) string {
	if rest, ok := strings.CutPrefix(n.digits, code); ok && n.international {
		return rest
	}
	return tsp.AfterCode(n.digits, code)
}

// checkPhone refuses what can be told without the present number.
func (p *plan) checkPhone() {
	number, hasNumber := p.changes.Get(operation.FieldPhoneNumber)
	code, hasCode := p.changes.Get(operation.FieldPhoneCountryCode)
	parsed, numberErr := parsePhone(number.Text())
	dial, codeErr := dialCode(code)
	delete(p.patch, keyPhone)
	switch {
	case hasNumber && number.IsNull() && hasCode:
		p.refused.Add(operation.FieldPhoneCountryCode, "there is no number to hold it: phone_number is cleared")
	case hasNumber && number.IsNull():
		p.patch[keyPhone] = ""
	case hasNumber && numberErr != nil, hasCode && codeErr != nil: // refused by the table
	case hasNumber && hasCode && parsed.international && !strings.HasPrefix(parsed.digits, dial):
		p.refused.Add(operation.FieldPhoneNumber, "does not begin with the phone_country_code given with it")
	default:
		p.number, p.code = number.Text(), dial
	}
}

// writePhone writes "+<code> <digits>". What is not given comes from the present
// number.
func (p *plan) writePhone(user entity) {
	if p.number == "" && p.code == "" {
		return
	}
	field := operation.FieldPhoneNumber
	if p.number == "" {
		field = operation.FieldPhoneCountryCode
	}
	text, err := joinPhone(p.number, p.code, user.text(keyPhone))
	if err != nil {
		p.refused.Add(field, "%s", err)
		return
	}
	p.patch[keyPhone] = text
}

func joinPhone(number, code, present string) (string, error) {
	now, nowErr := parsePhone(present)
	if number == "" {
		if nowErr != nil {
			return "", errors.New("the user has no number to put it before")
		}
		return wirePhone(code, now.national(now.code))
	}
	n, err := parsePhone(number)
	switch {
	case err != nil:
		return "", err
	case code != "":
	case n.international && n.code == "":
		return "", errors.New("has a plus sign and no country code that there is")
	case n.international:
		code = n.code
	case nowErr == nil && now.code != "":
		code = now.code
	default:
		return "", errors.New("needs a country code; give phone_country_code with it")
	}
	return wirePhone(code, n.national(code))
}

func wirePhone(code, national string) (string, error) {
	text := "+" + code + " " + national
	switch {
	case national == "":
		return "", errors.New("has no digits after the country code")
	case len(text) > maxPhone:
		return "", errors.New("is longer than the provider's 20 characters")
	}
	return text, nil
}

func notPhone(r rune) bool { return !strings.ContainsRune("0123456789 -.()/\u00a0", r) }
