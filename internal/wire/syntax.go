package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
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

// syntaxError puts a parser's error into words. Of the body it repeats no more than the
// name of a key.
func syntaxError(err error) error {
	at, name, why := "", "", ""
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		at = fmt.Sprintf(" at byte %d", syntax.ByteOffset)
		name = fmt.Sprintf(", %q,", clip(syntax.JSONPointer.LastToken()))
		// The parser has no error of its own for this.
		if syntax.Err != nil && strings.Contains(syntax.Err.Error(), "surrogate pair") {
			why = ": half of a surrogate pair stands alone in a text"
		}
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return badRequest("an object has the same key twice" + name + at)
	}
	return badRequest("the body is not valid JSON" + why + at)
}
