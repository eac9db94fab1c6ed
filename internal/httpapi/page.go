package httpapi

import (
	"net/url"
	"sort"
	"strings"

	"github.com/google/uuid"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// place is where an item stands in its list. Lists that are sorted by a text use
// name, and the position's id for ties.
type place struct {
	pos  operation.Position
	name string
}

// just moves the place by the smallest step, 1 or -1, in the list's direction, so
// that a walk that excludes the place itself includes the item at it.
func (l listing) just(p place, step int) place {
	if l.down {
		step = -step
	}
	for i := len(p.pos.ID) - 1; i >= 0; i-- {
		before := p.pos.ID[i]
		p.pos.ID[i] += byte(step)
		if carry := step > 0 && before == 0xff || step < 0 && before == 0; !carry {
			break
		}
	}
	return p
}

// compare orders places that ascend.
func (p place) compare(q place) int {
	if c := strings.Compare(p.name, q.name); c != 0 {
		return c
	}
	return p.pos.Compare(q.pos)
}

// listing is one request for a page: the list, and where the page starts.
type listing struct {
	cursors *wire.Cursors
	// down says that the list descends.
	down bool
	// at is the cursor that the caller sent, or the list's start.
	at wire.Cursor
}

// listing reads the caller's cursor. One that was made for other filters is
// refused, since its place means nothing in this list.
func (s *server) listing(kind string, q url.Values, cursor string) (listing, error) {
	l := listing{cursors: s.deps.Cursors, at: wire.Cursor{Kind: kind, Filter: wire.FilterHash(kind, q)}}
	if cursor == "" {
		return l, nil
	}
	at, err := s.deps.Cursors.Decode(cursor)
	if err != nil {
		return listing{}, err
	}
	if at.Kind != l.at.Kind || at.Filter != l.at.Filter {
		return listing{}, &operation.Error{
			Code: operation.CodeBadRequest, Message: "the cursor belongs to another list, or to other filters",
		}
	}
	l.at = at
	return l, nil
}

// atEdge reports whether the page starts at the list's own start, or backwards
// at its end.
func (l listing) atEdge() bool { return l.at.Position.IsZero() && l.at.Name == "" }

func (l listing) cursor(p place, backwards bool) *string {
	c := l.at
	c.Position, c.Name, c.Backwards = p.pos, p.name, backwards
	text := l.cursors.Encode(c)
	return &text
}

// cut takes a page out of a whole list that is in order.
func cut[T any](l listing, items []T, placeOf func(T) place, size int) (page []T, more bool) {
	here := place{pos: l.at.Position, name: l.at.Name}
	// past finds the first item that is beyond the place, or at least at it.
	past := func(least int) int {
		return sort.Search(len(items), func(i int) bool {
			c := placeOf(items[i]).compare(here)
			if l.down {
				c = -c
			}
			return c >= least
		})
	}
	if l.at.Backwards {
		end := len(items)
		if !l.atEdge() {
			end = past(0)
		}
		start := max(0, end-size)
		return items[start:end], start > 0
	}
	start := 0
	if !l.atEdge() {
		start = past(1)
	}
	end := min(len(items), start+size)
	return items[start:end], end < len(items)
}

// paged makes the page of the items, with the cursors in both directions. more
// says that there are further items in the direction of the walk.
func paged[T, V any](l listing, items []T, placeOf func(T) place, view func(T) V, more bool) wire.Page[V] {
	views := make([]V, len(items))
	for i, item := range items {
		views[i] = view(item)
	}
	page := wire.NewPage(views)
	var first, last place
	if len(items) > 0 {
		first, last = placeOf(items[0]), placeOf(items[len(items)-1])
	} else {
		here := place{pos: l.at.Position, name: l.at.Name}
		first, last = l.just(here, +1), l.just(here, -1)
		if l.atEdge() {
			first, last = place{}, place{}
		}
	}
	before, after := !l.atEdge(), more
	if l.at.Backwards {
		before, after = after, before
	}
	here := l.cursors.Encode(l.at)
	if l.at.Backwards {
		page.CurrentPageBackwards = &here
		start := place{}
		if before && len(items) > 0 {
			start = l.just(first, -1)
		}
		page.CurrentPage = l.cursor(start, false)
	} else {
		page.CurrentPage = &here
		end := place{}
		if after {
			end = l.just(last, +1)
		}
		page.CurrentPageBackwards = l.cursor(end, true)
	}
	if before {
		page.PreviousPage = l.cursor(first, true)
	}
	if after {
		page.NextPage = l.cursor(last, false)
	}
	return page
}

func placeOf(op operation.Operation) place {
	return place{pos: operation.Position{Seq: op.Seq, ID: op.ID}}
}

func placeOfID(id uuid.UUID) place { return place{pos: operation.Position{ID: id}} }
