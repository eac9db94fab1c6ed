package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/hibiken/asynq"
)

type worker struct {
	http     *http.Client
	provider string
	users    map[string]user
}

func runWorker(ctx context.Context, s settings) error {
	users, err := readRegistry(s.registry)
	if err != nil {
		return err
	}
	w := &worker{provider: s.provider, users: users, http: &http.Client{
		Timeout: 20 * time.Second,
		Transport: &http.Transport{
			MaxIdleConns: s.concurrency, MaxIdleConnsPerHost: s.concurrency,
			IdleConnTimeout: 10 * time.Minute, DisableCompression: true,
		},
	}}
	server := asynq.NewServer(redisOpt(s), asynq.Config{
		Concurrency: s.concurrency,
		Queues:      map[string]int{queue: 1},
		LogLevel:    asynq.FatalLevel,
		// How soon an idle worker sees a new task, and how soon a retry that is due
		// is started: the defaults of 1 s and 5 s would only make it late.
		TaskCheckInterval:        s.idle,
		DelayedTaskCheckInterval: 250 * time.Millisecond,
		RetryDelayFunc: func(n int, _ error, _ *asynq.Task) time.Duration {
			return time.Duration(rand.Int64N(int64(min(time.Hour, 2*time.Second<<min(2*n, 20)))))
		},
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc(taskType, w.update)
	if err := server.Start(mux); err != nil {
		return err
	}
	defer server.Shutdown()
	health := http.NewServeMux()
	health.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	return serve(ctx, s.addr, health)
}

// driver is the provider's form of the changes.
type driver struct {
	Name          string  `json:"name,omitempty"`
	LicenseNumber *string `json:"licenseNumber,omitempty"`
	LicenseState  *string `json:"licenseState,omitempty"`
	Notes         *string `json:"notes,omitempty"`
}

// outcome is the result that is kept.
type outcome struct {
	Status    int               `json:"response_status_code"`
	Headers   map[string]string `json:"response_headers"`
	StartedAt time.Time         `json:"created_at"`
	EndedAt   time.Time         `json:"updated_at"`
}

func (w *worker) update(ctx context.Context, t *asynq.Task) error {
	var in task
	if err := json.Unmarshal(t.Payload(), &in); err != nil {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	d := driver{LicenseNumber: in.Changes.LicenseNumber, LicenseState: in.Changes.LicenseRegion, Notes: in.Changes.Notes}
	if in.Changes.FirstName != nil && in.Changes.LastName != nil {
		d.Name = *in.Changes.FirstName + " " + *in.Changes.LastName
	}
	began := time.Now()
	status, header, err := w.call(ctx, in, d)
	if err != nil {
		return err
	}
	result, err := json.Marshal(outcome{Status: status, StartedAt: began, EndedAt: time.Now(), Headers: map[string]string{
		"X-Request-Id": header.Get("X-Request-Id"), "X-Ratelimit-Remaining": header.Get("X-Ratelimit-Remaining"),
	}})
	if err != nil {
		return err
	}
	_, err = t.ResultWriter().Write(result)
	return err
}

func (w *worker) call(ctx context.Context, in task, d driver) (int, http.Header, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, w.provider+"/fleet/drivers/"+in.SourceID, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+w.users[in.User].Token)
	resp, err := w.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, nil, fmt.Errorf("provider: %d: %s", resp.StatusCode, text[:min(len(text), 300)])
	}
	var answer struct {
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Data.ID != in.SourceID {
		return 0, nil, fmt.Errorf("provider: another driver than %s was answered", in.SourceID)
	}
	return resp.StatusCode, resp.Header, nil
}
