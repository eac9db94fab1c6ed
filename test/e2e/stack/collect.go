package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"writeback/internal/history"
	"writeback/internal/sandbox"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp/httpcall"
)

// collectEvery is how often the operations are listed while some are pending.
const collectEvery = 500 * time.Millisecond

// Collect waits until every operation has ended and its end is in the stream, or
// the time is over, and gives the whole history of the requests.
func (s *Stack) Collect(ctx context.Context, requests []history.Request, within time.Duration) (history.History, error) {
	h := history.History{Requests: requests, Limits: s.Limits}
	// An api that has just noticed a loss answers 503 for a while.
	until := func(deadline time.Time, enough func(settled bool) bool) error {
		for {
			settled, err := s.look(ctx, &h)
			if err == nil && enough(settled) || ctx.Err() != nil || time.Now().After(deadline) {
				return err
			}
			pause(ctx, collectEvery)
		}
	}
	if err := until(time.Now().Add(within), func(settled bool) bool { return settled }); err != nil {
		return h, err
	}
	// Once more, so that an end that does not last is seen.
	if err := until(time.Now().Add(within), func(bool) bool { return true }); err != nil {
		return h, err
	}
	var err error
	if h.Events, err = s.events(ctx); err != nil {
		return h, err
	}
	if h.Streamed, err = s.streamed(ctx); err != nil {
		return h, err
	}
	h.Losses, h.Untold = s.Losses(), s.untold()
	h.Calls, err = s.Calls(ctx)
	return h, err
}

// look reads all operations and events, and reports whether nothing is to come.
func (s *Stack) look(ctx context.Context, h *history.History) (bool, error) {
	ops, err := s.operations(ctx)
	if err != nil {
		return false, err
	}
	h.Operations = ops
	pending, ended := 0, map[string]bool{}
	for _, op := range ops {
		if op.Status == history.Pending {
			pending++
			continue
		}
		ended[op.ID] = true
		h.Reads = append(h.Reads, history.Read{Operation: op.ID, Status: op.Status, At: s.Since(time.Now())})
	}
	if pending > 0 {
		return false, nil
	}
	if h.Events, err = s.events(ctx); err != nil {
		return false, err
	}
	for _, e := range h.Events {
		if e.Kind != string(operation.EventAttempted) {
			delete(ended, e.Operation)
		}
	}
	return len(ended) == 0, nil
}

// operations lists what both partners have, by any api that answers.
func (s *Stack) operations(ctx context.Context) ([]history.Operation, error) {
	var out []history.Operation
	for _, token := range []string{s.tokens[sandbox.ConnectionID(1)], s.tokens[Foreign()]} {
		query := url.Values{"size": {"1000"}}
		for {
			var page struct {
				Items    []wire.ResourceOperationRead `json:"items"`
				NextPage *string                      `json:"next_page"`
			}
			if err := s.read(ctx, "/v2/integrations/connections/resource-operations?"+query.Encode(), token, &page); err != nil {
				return nil, err
			}
			for _, view := range page.Items {
				out = append(out, s.operation(view))
			}
			if page.NextPage == nil {
				break
			}
			query.Set("cursor", *page.NextPage)
		}
	}
	return out, nil
}

// read asks the apis in turn until one answers.
func (s *Stack) read(ctx context.Context, path, token string, into any) error {
	var last error
	for _, api := range s.APIs {
		err := readJSON(ctx, api.URL+path, token, into)
		if err == nil {
			return nil
		}
		last = err
	}
	return last
}

func readJSON(ctx context.Context, url, token string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	resp, err := get(ctx, url, token)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("stack: %s answered %s", resp.Request.URL.Path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func (s *Stack) operation(v wire.ResourceOperationRead) history.Operation {
	op := history.Operation{
		ID: v.ID.String(), Connection: v.ConnectionID.String(), Status: string(v.Status),
		Created: s.Since(v.CreatedAt), Updated: s.Since(v.UpdatedAt), Marker: markerIn(v.Payload),
	}
	if v.ResourceID != nil {
		op.User = v.ResourceID.String()
	}
	for _, l := range v.Logs {
		row := history.Row{ID: l.ID.String(), Status: string(l.Status), Start: s.Since(l.CreatedAt), End: s.Since(l.UpdatedAt)}
		if l.ErrorType != nil {
			row.ErrorType = string(*l.ErrorType)
		}
		if l.ResponseStatusCode != nil {
			row.Code = *l.ResponseStatusCode
		}
		row.RetryAfter = httpcall.RetryAfter(l.ResponseHeaders["Retry-After"], l.UpdatedAt)
		op.Rows = append(op.Rows, row)
	}
	return op
}

var marker = regexp.MustCompile(`mk-[a-z0-9]+-[0-9]+`)

func markerIn(body []byte) string { return string(marker.Find(body)) }

// Calls gives the writes that the sandbox received.
func (s *Stack) Calls(ctx context.Context) ([]history.Call, error) {
	var answer struct {
		Requests []sandbox.Record `json:"requests"`
		Dropped  int              `json:"dropped"`
	}
	if err := readJSON(ctx, s.Sandbox.URL+"/_control/requests", "", &answer); err != nil {
		return nil, err
	}
	if answer.Dropped > 0 {
		return nil, fmt.Errorf("stack: the sandbox has dropped %d records", answer.Dropped)
	}
	var out []history.Call
	for _, r := range answer.Requests {
		if !r.Write {
			continue
		}
		c := history.Call{
			ID: strconv.FormatUint(r.ID, 10), Connection: r.Connection, User: r.UserID, Marker: markerIn(r.Body),
			Start: s.Since(r.Time), Status: r.Status, Applied: r.AppliedSeq > 0, Fault: r.Fault,
		}
		if !r.Open {
			c.End = c.Start + r.Duration
		}
		out = append(out, c)
	}
	return out, nil
}
