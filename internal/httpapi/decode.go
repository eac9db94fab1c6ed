package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// write is a decoded request to update or create a user.
type write struct {
	// user is nil for a create.
	user uuid.UUID
	mode wire.Mode
	wire.UserWrite
}

// decodeUpdate reads path, query and body, and gives the faults of all three at
// once. What cannot be read at all comes first.
func (s *server) decodeUpdate(r *http.Request, body []byte) (write, error) {
	user, badUser := wire.ParseUUID("path.user_id", r.PathValue("user_id"))
	in, err := s.decodeWrite(r, body, wire.DecodeUserUpdate)
	in.user = user
	return in, join(wire.Invalid(badUser), err)
}

// decodeCreate reads query and body.
func (s *server) decodeCreate(r *http.Request, body []byte) (write, error) {
	return s.decodeWrite(r, body, wire.DecodeUserCreate)
}

func (s *server) decodeWrite(
	r *http.Request, body []byte, decode func([]byte, wire.DecodeOptions) (wire.UserWrite, error),
) (in write, err error) {
	values, err := query(r)
	if err != nil {
		return write{}, err
	}
	var badQuery, badBody error
	in.mode, badQuery = wire.ParseMode(values)
	in.UserWrite, badBody = decode(body, s.cfg.Decode)
	return in, join(badQuery, badBody)
}

// join makes one refusal of the faults of all; any other error comes before it.
func join(errs ...error) error {
	var joined *operation.Error
	for _, err := range errs {
		if err == nil {
			continue
		}
		var invalid *operation.Error
		switch {
		case !errors.As(err, &invalid) || invalid.Code != operation.CodeInvalid:
			return err
		case joined == nil:
			first := *invalid
			joined = &first
		default:
			joined.Faults = append(joined.Faults[:len(joined.Faults):len(joined.Faults)], invalid.Faults...)
		}
	}
	if joined == nil {
		return nil
	}
	return joined
}

// query reads the query, and refuses one that net/url would drop parts of: a
// filter that is lost in silence selects too much.
func query(r *http.Request) (url.Values, error) {
	if r.URL.RawQuery == "" {
		return url.Values{}, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the query is not well-formed")
	}
	return values, nil
}

// jsonBody reads a body of plain UTF-8 JSON.
func (s *server) jsonBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if _, err := wantMedia(r.Header, wire.MediaJSON); err != nil {
		return nil, err
	}
	return s.readBody(w, r, s.cfg.MaxBody)
}

// wantMedia refuses a body that is not plain UTF-8 of one of the media types, and gives
// which it is.
func wantMedia(h http.Header, wanted ...string) (string, error) {
	for _, encoding := range h.Values("Content-Encoding") {
		if !strings.EqualFold(strings.TrimSpace(encoding), "identity") {
			return "", refuse(http.StatusUnsupportedMediaType, "the body must not be encoded")
		}
	}
	kinds := h.Values("Content-Type")
	switch len(kinds) {
	case 0:
		return "", refuse(http.StatusUnsupportedMediaType, "the Content-Type must be %s; there is none", strings.Join(wanted, " or "))
	case 1:
		return plainMedia(kinds[0], wanted)
	}
	return "", refuse(http.StatusUnsupportedMediaType, "the Content-Type must be given once")
}

// plainMedia refuses a type that is not wanted, or that has a parameter besides the one
// that changes nothing.
func plainMedia(given string, wanted []string) (string, error) {
	kind, params, err := mime.ParseMediaType(given)
	if err != nil || !slices.Contains(wanted, kind) {
		return "", refuse(http.StatusUnsupportedMediaType, "the Content-Type must be %s, not %.100q", strings.Join(wanted, " or "), given)
	}
	charset, has := params["charset"]
	if len(params) > 1 || len(params) == 1 && !has || has && !strings.EqualFold(charset, "utf-8") {
		return "", refuse(http.StatusUnsupportedMediaType, "the Content-Type is %.100q: the only parameter may be charset=utf-8", given)
	}
	return kind, nil
}

// maxDrain is how much of a body that is too large is read and dropped, so that
// the caller gets to read the refusal instead of a broken connection.
const maxDrain = 16 << 20

// readBody reads the whole body within the size and the time of a request.
func (s *server) readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	// A slow body must not hold the request for ever. Writers that know no
	// deadline are those of in-process callers. After a refusal the deadline stays:
	// the connection ends with the answer.
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(s.cfg.Timeout))
	var body []byte
	var err error
	if r.ContentLength <= most {
		body, err = io.ReadAll(io.LimitReader(r.Body, most+1))
	}
	trailOf(r.Context()).read = len(body)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, refuse(http.StatusRequestTimeout, "the body did not come in time")
	case err != nil:
		w.Header().Set("Connection", "close")
		return nil, refuse(http.StatusBadRequest, "the body could not be read")
	case r.ContentLength > most, int64(len(body)) > most:
		// A caller that waits for "100 Continue" has not sent the body yet.
		if r.Header.Get("Expect") == "" {
			_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
		}
		w.Header().Set("Connection", "close")
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", most)
	}
	_ = conn.SetReadDeadline(time.Time{})
	return body, nil
}
