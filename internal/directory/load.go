package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// loadTries bounds how often a load starts over because others wrote too.
const loadTries = 10

// Count is what a load did with the entries of one kind.
type Count struct {
	Created, Updated, Deleted, Unchanged int
}

// Report is what a load did.
type Report struct {
	Partners, Fleets, Connections, Users Count
}

// LogValue gives the counts.
func (r Report) LogValue() slog.Value {
	count := func(c Count) string {
		return fmt.Sprintf("%d created, %d updated, %d deleted", c.Created, c.Updated, c.Deleted)
	}
	return slog.GroupValue(
		slog.String("partners", count(r.Partners)), slog.String("fleets", count(r.Fleets)),
		slog.String("connections", count(r.Connections)), slog.String("users", count(r.Users)),
	)
}

// Writes is how many entries the load wrote.
func (r Report) Writes() int {
	n := 0
	for _, c := range []Count{r.Partners, r.Fleets, r.Connections, r.Users} {
		n += c.Created + c.Updated + c.Deleted
	}
	return n
}

func (r *Report) count(kind string) *Count {
	switch kind {
	case kindPartner:
		return &r.Partners
	case kindFleet:
		return &r.Fleets
	case kindConnection:
		return &r.Connections
	default:
		return &r.Users
	}
}

// finish counts what is in the file and was not written.
func (r *Report) finish(reg *registry) {
	listed := map[*Count]int{
		&r.Partners: len(reg.partners), &r.Fleets: len(reg.fleets),
		&r.Connections: len(reg.connections), &r.Users: len(reg.users),
	}
	for c, n := range listed {
		c.Unchanged = n - c.Created - c.Updated
	}
}

// LoadFile brings the bucket to what the registry file says and reports what it
// did. It writes only what differs, so loading a file twice, or in several
// processes at once, is harmless. Entries that the file does not have are left
// alone, unless it says `prune: true`: then connections become deleted, and users
// too. Credentials that the file repeats do not replace what was refreshed since.
//
// The error is a *FileError, with every fault, if the file is wrong; then nothing
// was written.
func (d *Directory) LoadFile(ctx context.Context, path string) (Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Report{}, fmt.Errorf("directory: registry file: %w", err)
	}
	reg, err := parse(path, text, d.tsps, os.LookupEnv)
	if err != nil {
		return Report{}, err
	}
	var report Report
	for range loadTries {
		p := d.plan(reg)
		if p.err != nil {
			return report, fmt.Errorf("directory: registry file: %w", p.err)
		}
		if len(p.faults) > 0 {
			return report, &FileError{Path: path, Faults: p.faults}
		}
		again, err := d.carryOut(ctx, p, &report)
		if err != nil {
			return report, err
		}
		if len(again) == 0 {
			report.finish(reg)
			return report, nil
		}
		if err := d.again(ctx, again...); err != nil {
			return report, err
		}
	}
	return report, errors.New("directory: registry file: others keep changing the same entries")
}

// change is one write that the file asks for.
type change struct {
	kind, key string
	value     []byte
	revision  uint64
	count     func(*Count)
	bare      bool // what a newer version knows of it goes, too: of a user it may be personal
}

// plan is all that a file asks for; its err is one of encoding.
type plan struct {
	changes []change
	faults  []Fault
	now     time.Time
	box     box
	err     error
}

// snapshot is the copy at one moment, without its indexes, so that a long plan
// does not keep look-ups waiting.
func (d *Directory) snapshot() *table {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return &table{
		partners: maps.Clone(d.copy.partners), fleets: maps.Clone(d.copy.fleets),
		connections: maps.Clone(d.copy.connections), users: maps.Clone(d.copy.users),
	}
}

// plan compares the file with the copy.
func (d *Directory) plan(reg *registry) *plan {
	p := &plan{now: d.now().UTC().Truncate(time.Millisecond), box: d.box}
	t := d.snapshot()
	for _, v := range reg.partners {
		old, ok := t.partners[v.ID]
		var before []byte
		if ok {
			before = p.encoded(encodePartner(old))
		}
		p.entry(kindPartner, partnerKey(v.ID), old.revision, p.encoded(encodePartner(v)), before)
	}
	for _, v := range reg.fleets {
		old, ok := t.fleets[v.ID]
		if ok && old.PartnerID != v.PartnerID {
			p.fault(reg, fleetKey(v.ID), "fleet.id: belongs to another partner")
		}
		var before []byte
		if ok {
			before = p.encoded(encodeFleet(old))
		}
		p.entry(kindFleet, fleetKey(v.ID), old.revision, p.encoded(encodeFleet(v)), before)
	}
	for _, v := range reg.connections {
		p.connection(reg, v, t.connections[v.ID])
	}
	for _, v := range reg.users {
		p.user(reg, v, t.users[v.ID])
	}
	p.learned(reg, t)
	if reg.prune {
		p.prune(reg, t)
	}
	slices.SortStableFunc(p.faults, func(a, b Fault) int { return a.Line - b.Line })
	return p
}

func (p *plan) fault(reg *registry, key, rule string) {
	p.faults = append(p.faults, Fault{Line: reg.lines[key], Rule: rule + " in the store"})
}

// encoded keeps the first fault, so that the rules need not look at it.
func (p *plan) encoded(value []byte, err error) []byte {
	if err != nil && p.err == nil {
		p.err = err
	}
	return value
}

// entry notes a write if the value differs from the old one (nil: there is none)
// or if the store has lost it.
func (p *plan) entry(kind, key string, revision uint64, value, old []byte) {
	if revision > 0 && bytes.Equal(value, old) {
		return
	}
	count := func(c *Count) { c.Updated++ }
	if old == nil {
		count = func(c *Count) { c.Created++ }
	}
	p.changes = append(p.changes, change{kind: kind, key: key, value: value, revision: revision, count: count})
}

func (p *plan) connection(reg *registry, v Connection, old *held) {
	key := connectionKey(v.ID)
	next := held{Connection: v, given: v.Credentials}
	next.CreatedAt, next.UpdatedAt = p.now, p.now
	if old == nil {
		p.entry(kindConnection, key, 0, p.encoded(p.box.connection(next)), nil)
		return
	}
	if old.Locked {
		p.encoded(nil, p.box.locked(v.ID))
		return
	}
	if old.PartnerID != v.PartnerID {
		p.fault(reg, key, "connection.id: belongs to another partner")
	}
	next.CreatedAt, next.UpdatedAt, next.PausedAt, next.renewal = old.CreatedAt, old.UpdatedAt, old.PausedAt, old.renewal
	if maps.Equal(old.given, v.Credentials) {
		next.Credentials = old.Credentials
		if old.refused() && v.Status == ConnectionActive {
			next.Status, next.StatusReason = old.Status, old.StatusReason
		}
	}
	// Compared in clear: what is sealed differs each time.
	clear := box{}
	value, before := p.encoded(clear.connection(next)), p.encoded(clear.connection(*old))
	if old.Revision > 0 && bytes.Equal(value, before) {
		return
	}
	if !bytes.Equal(value, before) {
		next.UpdatedAt = p.now
	}
	p.entry(kindConnection, key, old.Revision, p.encoded(p.box.connection(next)), before)
}

func (p *plan) user(reg *registry, v User, old *User) {
	key := userKey(v.ConnectionID, v.ID)
	v.CreatedAt, v.UpdatedAt, v.Given = p.now, p.now, given(v)
	if old == nil {
		p.entry(kindUser, key, 0, p.encoded(encodeUser(v)), nil)
		return
	}
	if old.ConnectionID != v.ConnectionID {
		p.fault(reg, key, "user.id: belongs to another connection")
	}
	v.CreatedAt, v.UpdatedAt = old.CreatedAt, old.UpdatedAt
	if sameGiven(v.Given, old.Given) {
		// What a sync has found out since stays.
		v.SourceID, v.Fields, v.DeletedAt = old.SourceID, old.Fields, old.DeletedAt
	}
	value, before := p.encoded(encodeUser(v)), p.encoded(encodeUser(*old))
	if !bytes.Equal(value, before) {
		v.UpdatedAt = p.now
		value = p.encoded(encodeUser(v))
	}
	p.entry(kindUser, key, old.revision, value, before)
}

// carryOut makes the writes, many at once, and gives the keys that somebody else
// wrote meanwhile.
func (d *Directory) carryOut(ctx context.Context, p *plan, report *Report) ([]string, error) {
	var mu sync.Mutex
	var again []string
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(bucketCalls)
	for _, c := range p.changes {
		g.Go(func() error {
			if !c.bare {
				c.value = d.kept(c.key, c.value)
			}
			err := d.store(ctx, c.key, c.value, c.revision)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, errConflict):
				again = append(again, c.key)
			case err != nil:
				return err
			default:
				c.count(report.count(c.kind))
			}
			return nil
		})
	}
	return again, g.Wait()
}
