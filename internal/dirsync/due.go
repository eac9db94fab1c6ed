package dirsync

import (
	"context"
	"slices"
	"time"

	"writeback/internal/directory"
)

// due gives the connections to be walked now, those first that have waited longest.
func (s *Syncer) due(ctx context.Context) ([]directory.Connection, error) {
	known, err := s.parts.Book.All(ctx)
	if err != nil {
		return nil, err
	}
	type candidate struct {
		c     directory.Connection
		since time.Time
	}
	var out []candidate
	now := s.cfg.Now()
	for _, c := range s.parts.Directory.All() {
		if c.Status != directory.ConnectionActive || c.Locked {
			continue
		}
		provider, ok := s.parts.Providers.Get(c.Provider)
		if !ok {
			continue
		}
		if _, ok := Listable(c.Provider, provider); !ok {
			continue
		}
		if since, ok := s.cfg.dueSince(known[c.ID], now); ok {
			out = append(out, candidate{c, since})
		}
	}
	slices.SortFunc(out, func(a, b candidate) int { return a.since.Compare(b.since) })
	connections := make([]directory.Connection, len(out))
	for i, o := range out {
		connections[i] = o.c
	}
	return connections, nil
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
