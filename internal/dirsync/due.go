package dirsync

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"writeback/internal/directory"
)

// due gives the connections to be walked now, those first that have waited longest.
func (s *Syncer) due(ctx context.Context) ([]uuid.UUID, error) {
	known, err := s.parts.Book.All(ctx)
	if err != nil {
		return nil, err
	}
	type candidate struct {
		id    uuid.UUID
		since time.Time
	}
	var out []candidate
	now := s.cfg.Now()
	for _, id := range s.parts.Directory.ConnectionIDs() {
		since, ok := s.cfg.dueSince(known[id], now)
		if !ok {
			continue
		}
		c, ok := s.parts.Directory.ConnectionByID(id)
		if !ok || c.Status != directory.ConnectionActive || c.Locked {
			continue
		}
		provider, ok := s.parts.Providers.Get(c.Provider)
		if !ok {
			continue
		}
		if _, ok := Listable(c.Provider, provider); !ok {
			continue
		}
		out = append(out, candidate{id, since})
	}
	slices.SortFunc(out, func(a, b candidate) int { return a.since.Compare(b.since) })
	ids := make([]uuid.UUID, len(out))
	for i, o := range out {
		ids[i] = o.id
	}
	return ids, nil
}

// dueSince says whether a connection is to be walked now, and since when. Nobody
// walks one that is leased, or before the time that its provider asked for; our
// own pause after a failure ends when somebody asks for a walk.
func (c Config) dueSince(p Progress, now time.Time) (time.Time, bool) {
	switch {
	case now.Before(p.LeaseUntil):
		return time.Time{}, false
	case now.Before(p.ResumeAt) && (p.Told || !p.Asked()):
		return time.Time{}, false
	case p.Unfinished():
		return p.UpdatedAt, true
	case p.Asked():
		return p.WantedAt, true
	case p.Restart:
		return p.UpdatedAt, true
	case c.Every > 0:
		next := p.StartedAt.Add(c.Every)
		return next, !now.Before(next)
	}
	return time.Time{}, false
}
