package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// controlRoutes are for the person or test that runs the sandbox. They are not
// logged and no fault hits them.
func (s *Sandbox) controlRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_control/health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("POST /_control/faults", s.postFault)
	mux.HandleFunc("GET /_control/faults", s.listFaults)
	mux.HandleFunc("DELETE /_control/faults", s.deleteFaults)
	mux.HandleFunc("GET /_control/requests", s.listRequests)
	mux.HandleFunc("DELETE /_control/requests", s.deleteRequests)
	mux.HandleFunc("GET /_control/users", s.listUsers)
	mux.HandleFunc("DELETE /_control/sessions", s.deleteSessions)
	return mux
}

func (s *Sandbox) postFault(w http.ResponseWriter, r *http.Request) {
	f, err := s.readFault(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		_, err = Params(r)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusCreated, map[string]int{"id": s.faults.add(f)})
}

func (s *Sandbox) readFault(body io.Reader) (Fault, error) {
	var f Fault
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Fault{}, fmt.Errorf("the body is not a fault: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Fault{}, errors.New("the body is not a fault: there is more after the object")
	}
	if string(f.Body) == "null" {
		f.Body = nil
	}
	return f, s.validate(f)
}

func (s *Sandbox) listFaults(w http.ResponseWriter, r *http.Request) {
	if _, err := Params(r); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, map[string]any{"faults": s.faults.all()})
}

func (s *Sandbox) deleteFaults(w http.ResponseWriter, r *http.Request) {
	if _, err := Params(r); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	s.faults.clear()
	w.WriteHeader(http.StatusNoContent)
}

// listRequests takes provider, and since as a time (later calls) or as a record
// id (calls after it).
func (s *Sandbox) listRequests(w http.ResponseWriter, r *http.Request) {
	q, err := Params(r, "provider", "since")
	var afterTime time.Time
	var afterID uint64
	if err == nil && q.Get("since") != "" {
		afterTime, afterID, err = parseSince(q.Get("since"))
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	calls, dropped := s.journal.live()
	stream(w, "requests", map[string]any{"dropped": dropped}, func(emit func(any)) {
		for _, l := range calls {
			if p := q.Get("provider"); p != "" && l.record.Provider != p {
				continue
			}
			if l.record.ID > afterID && l.record.Time.After(afterTime) {
				emit(l.show())
			}
		}
	})
}

func parseSince(v string) (time.Time, uint64, error) {
	if id, err := strconv.ParseUint(v, 10, 64); err == nil {
		return time.Time{}, id, nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return time.Time{}, 0, errors.New("since: must be an RFC 3339 time or a record id")
	}
	return t, 0, nil
}

func (s *Sandbox) deleteRequests(w http.ResponseWriter, r *http.Request) {
	if _, err := Params(r); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	s.journal.clear()
	w.WriteHeader(http.StatusNoContent)
}

// userState is one user as GET /_control/users shows it.
type userState struct {
	Provider   string         `json:"provider"`
	Connection string         `json:"connection"`
	User       string         `json:"user"`
	UserID     string         `json:"user_id,omitempty"`
	AppliedSeq int64          `json:"applied_seq"`
	Fields     map[string]any `json:"fields"`
}

func (s *Sandbox) listUsers(w http.ResponseWriter, r *http.Request) {
	q, err := Params(r, "provider", "connection")
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	stream(w, "users", nil, func(emit func(any)) {
		for _, a := range s.accounts {
			if p := q.Get("provider"); p != "" && p != a.provider {
				continue
			}
			if c := q.Get("connection"); c != "" && c != a.Connection {
				continue
			}
			for _, u := range a.List() {
				emit(s.state(a, u))
			}
		}
	})
}

func (s *Sandbox) state(a *Account, u *User) userState {
	u.Lock()
	state := userState{
		Provider: a.provider, Connection: a.Connection, User: u.SourceID, UserID: u.catenaID,
		AppliedSeq: u.Applied, Fields: u.Fields,
	}
	u.Unlock()
	if w, ok := s.wires[a.provider].(Viewer); ok {
		state.Fields = w.View(u)
	}
	return state
}

// deleteSessions ends the sessions and the access tokens that can be renewed, of
// one connection or of all.
func (s *Sandbox) deleteSessions(w http.ResponseWriter, r *http.Request) {
	q, err := Params(r, "connection")
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	for _, w := range s.wires {
		if sessions, ok := w.(Ender); ok {
			sessions.End(q.Get("connection"))
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// Params gives the query; a parameter that is not known or given twice is an
// error that names it.
func Params(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errors.New("the query cannot be read")
	}
	for name, values := range q {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown query parameter %q", name)
		}
		if len(values) > 1 {
			return nil, fmt.Errorf("query parameter %q is given twice", name)
		}
	}
	return q, nil
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

func refuse(w http.ResponseWriter, status int, why string) {
	reply(w, status, map[string]string{"error": why})
}

// stream writes an object with one long list item by item: a full log must not be
// built in memory first. The other members come after the list.
func stream(w http.ResponseWriter, list string, rest map[string]any, items func(emit func(any))) {
	w.Header().Set("Content-Type", "application/json")
	write := func(s string) { _, _ = io.WriteString(w, s) } // the client may be gone
	encoder := json.NewEncoder(w)
	write(`{"` + list + `":[`)
	separator := "\n"
	items(func(v any) {
		write(separator)
		separator = ","
		_ = encoder.Encode(v)
	})
	write("]")
	for name, v := range rest {
		write(`,"` + name + `":`)
		_ = encoder.Encode(v)
	}
	write("}\n")
}
