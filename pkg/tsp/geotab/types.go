package geotab

import (
	"encoding/json"
	"regexp"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp/httpcall"
)

// reply is the envelope of every answer.
type reply struct {
	// Result is nil if the key is missing and "null" for a null.
	Result json.RawMessage
	Error  json.RawMessage
}

// decodeReply reads the envelope, and says whether it holds a result or an error.
func decodeReply(body []byte) (reply, bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return reply{}, false
	}
	r := reply{Result: fields["result"], Error: fields["error"]}
	return r, r.failed() || r.Result != nil
}

func (r reply) failed() bool { return len(r.Error) > 0 && string(r.Error) != "null" }

// rpcError is what an error says. Each part is optional.
type rpcError struct {
	Message string `json:"message"`
	Data    struct {
		Type string `json:"type"`
	} `json:"data"`
	Errors []struct {
		Message string `json:"message"`
		Name    string `json:"name"`
	} `json:"errors"`
}

func (r reply) rpcError() rpcError {
	var e rpcError
	if r.failed() {
		// A wrong type of one part leaves the others filled.
		_ = json.Unmarshal(r.Error, &e)
	}
	return e
}

func (r reply) message() string {
	e := r.rpcError()
	if e.Message == "" && len(e.Errors) > 0 {
		return e.Errors[0].Message
	}
	return e.Message
}

// excUnavailable is of a database that is being moved or started, or is down.
const excUnavailable = "DbUnavailableException"

var exceptionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,63}$`)

// exception is the error's type. The message is not decided upon, with one exception
// that the vendor's own SDK makes: noDatabase.
func (r reply) exception() string {
	e := r.rpcError()
	name := e.Data.Type
	if name == "" && len(e.Errors) > 0 {
		name = e.Errors[0].Name
	}
	if !exceptionName.MatchString(name) {
		return "unknown error"
	}
	return name
}

// noDatabase reports whether a login names a database that there is not, which has
// the type of one that is away for a while.
func (r reply) noDatabase() bool {
	return r.exception() == excUnavailable && strings.Contains(r.message(), "UnknownDatabase")
}

// classify turns an error inside a 2xx into a failure.
func (c client) classify(what string, answer httpcall.Answer, r reply) *operation.Failure {
	name := r.exception()
	f := &operation.Failure{
		Type: operation.ErrorTSP, StatusCode: answer.Status, Header: answer.Header, Detail: what + ": " + name,
	}
	if m := httpcall.Short(c.hidden.In(r.message())); m != "" {
		f.Detail += ": " + m
	}
	if c.login && r.noDatabase() {
		f.Type = operation.ErrorAuth
		return f
	}
	switch name {
	case "InvalidUserException":
		f.Type, f.Refresh = operation.ErrorAuth, !c.login
	case "InvalidPermissionsException", "SecurityException":
		f.Type = operation.ErrorAuth
	case "ArgumentException", "ArgumentNullException", "JsonSerializerException", "DuplicateException",
		"RelationViolatedException", "MissingMethodException":
		f.Type = operation.ErrorValidation
	case excUnavailable:
		// If it stays away, a login says where it is now.
		f.Retryable, f.RetryAfter, f.Refresh = true, answer.RetryAfter, c.moved
	default:
		// OverLimitException, GenericException and whatever is not known: it may pass.
		f.Retryable, f.RetryAfter = true, answer.RetryAfter
	}
	return f
}
