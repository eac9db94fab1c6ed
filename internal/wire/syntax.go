package wire

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// precheck refuses what the parser would take, or describe less well.
func precheck(body []byte) error {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return badRequest("the body is empty")
	case !utf8.Valid(body):
		return badRequest("the body is not valid UTF-8")
	case nesting(body) > MaxNesting:
		return badRequest(fmt.Sprintf("the body nests deeper than %d levels", MaxNesting))
	}
	return nil
}

// nesting gives the depth of brackets outside of strings, before parsing, so
// that depth costs no stack.
func nesting(body []byte) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// syntaxError puts a parser's error into words without echoing the body.
func syntaxError(err error) error {
	at := ""
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		at = fmt.Sprintf(" at byte %d", syntax.ByteOffset)
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return badRequest("an object has the same key twice" + at)
	}
	return badRequest("the body is not valid JSON" + at)
}
