package webhook

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// archive has dead letters, oldest first, and log rows, newest first.
type archive struct {
	records
	dead []DeadLetter
	rows []LogRow
	err  error
	// asked is what log rows it was asked for.
	asked LogQuery
}

func (a *archive) Dead(_ context.Context, _ uuid.UUID, _ ReplayQuery, limit int) ([]DeadLetter, error) {
	return a.dead[:min(limit, len(a.dead))], a.err
}

func (a *archive) Logs(_ context.Context, q LogQuery) ([]LogRow, bool, error) {
	a.asked = q
	return a.rows, false, a.err
}

func (a *archive) chosen(t *testing.T, q ReplayQuery) (messages []uuid.UUID, dead int) {
	t.Helper()
	all, err := choose(t.Context(), a, uuid.New(), q)
	require.NoError(t, err)
	for _, c := range all {
		messages = append(messages, c.Message)
		if c.dead != nil {
			dead++
		}
	}
	return messages, dead
}

func numbered(n byte) uuid.UUID { return uuid.UUID{15: n} }

// TestChoose_ByStatus: each message once, the dead first, then the oldest, and of what had
// failed only what has not arrived since.
func TestChoose_ByStatus(t *testing.T) {
	t.Parallel()
	end := time.Now()
	row := func(n byte, s LogStatus, at time.Duration) LogRow {
		return LogRow{Reference: Reference{Message: numbered(n)}, Status: s, CreatedAt: end.Add(at)}
	}
	a := &archive{
		dead: []DeadLetter{{Reference: Reference{Message: numbered(7)}}},
		rows: []LogRow{
			row(1, LogSuccess, time.Second), row(2, LogFailed, 0), row(6, LogSuccess, 0), row(3, LogFailed, -1), row(4, LogSuccess, -2),
			row(7, LogFailed, -3), row(5, LogFailed, -3), row(5, LogFailed, -4), row(4, LogFailed, -5), row(1, LogFailed, -6),
		},
	}
	for _, c := range []struct {
		q    ReplayQuery
		want []byte
		dead int
	}{
		{ReplayQuery{}, []byte{7}, 1},
		{ReplayQuery{Status: LogFailed}, []byte{7, 5, 3, 2}, 1},
		{ReplayQuery{Status: LogFailed, To: end}, []byte{7, 5, 3}, 1},
		{ReplayQuery{Status: LogSuccess}, []byte{4, 6, 1}, 0},
		{ReplayQuery{Status: LogSuccess, To: end}, []byte{4}, 0},
		{ReplayQuery{Status: LogFailed, Messages: []uuid.UUID{numbered(3), numbered(1)}}, []byte{3}, 0},
	} {
		c.q.From = end.Add(-time.Hour)
		got, dead := a.chosen(t, c.q)
		var want []uuid.UUID
		for _, n := range c.want {
			want = append(want, numbered(n))
		}
		require.Equal(t, want, got, "%+v", c.q)
		require.Equal(t, c.dead, dead, "%+v", c.q)
	}
	require.Equal(t, end.Add(-time.Hour), a.asked.From)
	require.Zero(t, a.asked.To, "what failed in the window may have arrived since")
}

// TestChoose_NoMoreThanAtOnce: whoever has more asks again, by whichever status.
func TestChoose_NoMoreThanAtOnce(t *testing.T) {
	t.Parallel()
	a := &archive{}
	for range MostReplayed - 1 {
		a.dead = append(a.dead, DeadLetter{Reference: Reference{Message: uuid.New()}})
	}
	for range 3 {
		a.rows = append(a.rows, LogRow{Reference: Reference{Message: uuid.New()}, Status: LogFailed})
	}
	got, dead := a.chosen(t, ReplayQuery{Status: LogFailed})
	require.Len(t, got, MostReplayed)
	require.Equal(t, MostReplayed-1, dead)
	require.Equal(t, a.rows[2].Reference.Message, got[MostReplayed-1], "the oldest")
	require.Greater(t, a.asked.Limit, MostReplayed, "all rows of a log")
	a.dead = append(a.dead, a.dead[0], DeadLetter{Reference: Reference{Message: uuid.New()}})
	got, _ = a.chosen(t, ReplayQuery{})
	require.Len(t, got, MostReplayed-1)
}

// TestRecords_WithoutTheirStore: the partner may come back.
func TestRecords_WithoutTheirStore(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	r := &Records{Owned: anybodys{}, Journal: &archive{err: away}}
	_, replay := r.Replay(t.Context(), uuid.New(), uuid.New(), ReplayQuery{})
	_, byStatus := r.Replay(t.Context(), uuid.New(), uuid.New(), ReplayQuery{Status: LogSuccess})
	_, _, logs := r.Logs(t.Context(), uuid.New(), LogQuery{})
	for _, err := range []error{replay, byStatus, logs} {
		var known *operation.Error
		require.ErrorAs(t, err, &known)
		require.Equal(t, operation.CodeUnavailable, known.Code)
		require.Positive(t, known.RetryAfter)
		require.ErrorIs(t, err, away)
	}
}

// anybodys says of every subscription that it is the partner's.
type anybodys struct{}

func (anybodys) Get(_ context.Context, partner, id uuid.UUID) (Subscription, error) {
	return Subscription{ID: id, PartnerID: partner}, nil
}
