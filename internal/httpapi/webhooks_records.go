package httpapi

import (
	"context"
	"encoding/binary"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"writeback/internal/webhook"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// records are what was sent to webhooks; see webhook.Records. Another partner's
// webhook is not found. An error is an *operation.Error.
type records interface {
	Metrics(ctx context.Context, partner, id uuid.UUID) (webhook.Metrics, error)
	Logs(ctx context.Context, partner uuid.UUID, q webhook.LogQuery) (rows []webhook.LogRow, more bool, err error)
	Replay(ctx context.Context, partner, id uuid.UUID, q webhook.ReplayQuery) (int, error)
}

// getWebhookMetrics shows a webhook's counts.
func (s *server) getWebhookMetrics(w http.ResponseWriter, r *http.Request) error {
	id, err := webhookID(r)
	if err != nil {
		return err
	}
	m, err := s.deps.Records.Metrics(r.Context(), principalOf(r.Context()).PartnerID, id)
	if err != nil {
		return err
	}
	s.write(w, r, http.StatusOK, metricsView(id, m))
	return nil
}

// listWebhookLogs shows a page of a webhook's log, the newest first.
func (s *server) listWebhookLogs(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r)
	if err != nil {
		return err
	}
	id, badID := webhookID(r)
	in, cursor, badQuery := wire.ParseListWebhookLogs(values)
	if err := join(badID, badQuery); err != nil {
		return err
	}
	values.Set("webhook_id", id.String()) // a cursor belongs to one webhook's log
	l, err := s.listing(wire.KindWebhookLogs, values, cursor)
	if err != nil {
		return err
	}
	l.down = true
	rows, more, err := s.deps.Records.Logs(r.Context(), principalOf(r.Context()).PartnerID, webhook.LogQuery{
		Webhook: id, From: in.From, To: in.To, Status: webhook.LogStatus(in.Status),
		Position: logPosition(l.at.Position), Backwards: l.at.Backwards, Limit: in.Size,
	})
	if err != nil {
		return err
	}
	s.write(w, r, http.StatusOK, paged(l, rows, logPlace, logView, more))
	return nil
}

// logPlace is where a row stands: its millisecond, and its number within that. The
// number counts from 1, so that there is a place before the first.
func logPlace(row webhook.LogRow) place {
	ms, n, _ := strings.Cut(row.Position, "-")
	at, _ := strconv.ParseInt(ms, 10, 64)
	number, _ := strconv.ParseUint(n, 10, 63)
	p := place{pos: operation.Position{Seq: at}}
	binary.BigEndian.PutUint64(p.pos.ID[8:], number+1)
	return p
}

// logPosition is the row's position again. Before the first of a millisecond comes the
// last that the one before could have.
func logPosition(p operation.Position) string {
	if p.IsZero() {
		return ""
	}
	at, number := p.Seq, binary.BigEndian.Uint64(p.ID[8:])
	if number == 0 {
		return strconv.FormatInt(at-1, 10) + "-" + strconv.FormatInt(math.MaxInt64, 10)
	}
	return strconv.FormatInt(at, 10) + "-" + strconv.FormatUint(number-1, 10)
}

// replayWebhook delivers messages once more.
func (s *server) replayWebhook(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r)
	if err != nil {
		return err
	}
	id, badID := webhookID(r)
	in, badQuery := wire.ParseReplayWebhook(values)
	if err := join(badID, badQuery); err != nil {
		return err
	}
	n, err := s.deps.Records.Replay(r.Context(), principalOf(r.Context()).PartnerID, id, webhook.ReplayQuery{
		Messages: in.Messages, From: in.From, To: in.To, Status: webhook.LogStatus(in.Status),
	})
	if err != nil {
		return err
	}
	s.write(w, r, http.StatusAccepted, wire.WebhookReplay{MessageCount: n})
	return nil
}
