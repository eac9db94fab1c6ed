package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
)

const maxBody = 64 << 10

type api struct {
	client    *asynq.Client
	inspector *asynq.Inspector
	users     map[string]user
	tokens    *verifier
}

func runAPI(ctx context.Context, s settings) error {
	users, err := readRegistry(s.registry)
	if err != nil {
		return err
	}
	tokens, err := newVerifier(s.issuer)
	if err != nil {
		return err
	}
	a := &api{client: asynq.NewClient(redisOpt(s)), inspector: asynq.NewInspector(redisOpt(s)), users: users, tokens: tokens}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("PATCH /v2/telematics/users/{user_id}", a.update)
	mux.HandleFunc("GET /v2/integrations/connections/{connection_id}/resource-operations/{id}", a.read)
	return serve(ctx, s.addr, mux)
}

// view is an operation as it is answered.
type view struct {
	ID           string          `json:"id"`
	ConnectionID string          `json:"connection_id"`
	ResourceID   string          `json:"resource_id"`
	SourceID     string          `json:"source_id"`
	Status       string          `json:"status"`
	Payload      changes         `json:"payload"`
	CreatedAt    time.Time       `json:"created_at,omitzero"`
	Result       json.RawMessage `json:"result,omitempty"`
}

func (a *api) update(w http.ResponseWriter, r *http.Request) {
	if !a.tokens.allows(r, "telematics:write") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	var in struct {
		Connection uuid.UUID `json:"connection_id"`
		changes
	}
	if err := json.Unmarshal(body, &in); err != nil || !in.valid() {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	id := r.PathValue("user_id")
	u, ok := a.users[id]
	if !ok || u.Connection != in.Connection.String() {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	t := task{Connection: u.Connection, User: id, SourceID: u.SourceID, Changes: in.changes}
	a.enqueue(w, r, t)
}

func (a *api) enqueue(w http.ResponseWriter, r *http.Request, t task) {
	payload, err := json.Marshal(t)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	opID, err := uuid.NewV7()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		opID = uuid.NewSHA1(uuid.Nil, []byte(key)) // the same key is the same task
	}
	_, err = a.client.EnqueueContext(r.Context(), asynq.NewTask(taskType, payload),
		asynq.TaskID(opID.String()), asynq.Queue(queue), asynq.Retention(48*time.Hour), asynq.MaxRetry(12), asynq.Timeout(20*time.Second))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	answer(w, http.StatusAccepted, view{
		ID: opID.String(), ConnectionID: t.Connection, ResourceID: t.User, SourceID: t.SourceID,
		Status: "pending", Payload: t.Changes, CreatedAt: time.Now(),
	})
}

// valid checks the lengths, and that there is something to change.
func (c changes) valid() bool {
	some := false
	for _, v := range []*string{c.FirstName, c.LastName, c.LicenseNumber, c.LicenseRegion, c.Notes} {
		if v != nil {
			some = true
			if len(*v) > 4096 {
				return false
			}
		}
	}
	return some
}

func (a *api) read(w http.ResponseWriter, r *http.Request) {
	if !a.tokens.allows(r, "resource_operation:read") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	info, err := a.inspector.GetTaskInfo(queue, r.PathValue("id"))
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var t task
	if err := json.Unmarshal(info.Payload, &t); err != nil || t.Connection != r.PathValue("connection_id") {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	v := view{ID: info.ID, ConnectionID: t.Connection, ResourceID: t.User, SourceID: t.SourceID, Status: "pending", Payload: t.Changes, Result: info.Result}
	switch info.State {
	case asynq.TaskStateCompleted:
		v.Status = "success"
	case asynq.TaskStateArchived:
		v.Status = "failed"
	}
	answer(w, http.StatusOK, v)
}

func answer(w http.ResponseWriter, status int, v view) {
	text, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
