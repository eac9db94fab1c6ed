// Package directory answers who may write what: partners, fleets, connections
// and users, for the api and the worker.
//
// The truth is a NATS key-value bucket. Every process keeps a full copy in
// memory and follows the bucket, so a look-up never leaves the process, a change
// is seen everywhere without a restart, and a process that cannot reach NATS
// goes on with what it knows. The bucket is filled from the registry file.
//
// It refuses to guess: nothing is given to a partner that is not that partner's,
// a registry file with a fault is refused as a whole, and credentials are
// refreshed by one process at a time and stored before anybody uses them.
// Credentials and personal fields never reach logs or errors.
package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/singleflight"

	"writeback/internal/natsq"
)

// Bucket is the name of the key-value bucket.
const Bucket = "writeback-directory"

// openTimeout bounds the opening of the bucket, without reading it.
const openTimeout = 10 * time.Second

// Config are the settings that have defaults.
type Config struct {
	// Replicas is how many NATS servers hold the bucket. Default 1.
	Replicas int
	// Sealer seals credentials in the bucket. Nil: they are stored in clear, and
	// connections with sealed ones are locked.
	Sealer Sealer
	// Providers are source names known besides the contract's.
	Providers []string
	// Logger gets what Run has to say. Default: nothing is logged.
	Logger *slog.Logger
	// AsItIs leaves the settings of a bucket that is there alone: for a tool whose own
	// settings may be others than those of the programs.
	AsItIs bool
	// NoUsers leaves users out, which are nearly all there is: for a tool that asks for none
	// of them. Such a directory cannot be kept up to date by Run.
	NoUsers bool
	// Existing makes no bucket either: Open gives ErrNone if there is none. An empty one
	// would stand in the way of a backup that is restored.
	Existing bool
}

// Directory is the copy of one process. Its methods may be called concurrently.
type Directory struct {
	js       jetstream.JetStream
	kv       jetstream.KeyValue
	replicas int
	tsps     []TSP
	box      box
	log      *slog.Logger
	now      func() time.Time
	// owner names this process in renewals.
	owner uuid.UUID

	mu   sync.RWMutex
	copy *table
	// changed is closed and replaced when a connection changes.
	changed chan struct{}

	// seen is how far the bucket was read; created is which bucket that was. Only
	// Open and Run use them.
	seen     uint64
	created  time.Time
	follower *natsq.Follower

	following atomic.Bool

	flight   singleflight.Group
	renewals renewals
}

// ErrNone says that there is no bucket.
var ErrNone = errors.New("there is no directory in this NATS")

// Open makes the bucket if there is none and reads all of it, however long that takes: it
// gives up when the context ends, or nothing has come for 10 s. Nothing is followed until Run.
func Open(ctx context.Context, js jetstream.JetStream, cfg Config) (*Directory, error) {
	d := &Directory{
		js: js, replicas: max(1, cfg.Replicas), tsps: listTSPs(cfg.Providers), box: box{cfg.Sealer}, log: cfg.Logger,
		now: time.Now, owner: uuid.New(),
		copy: newTable(box{cfg.Sealer}), changed: make(chan struct{}),
		renewals: renewals{refused: make(map[uuid.UUID]refusal), unsaved: make(map[uuid.UUID]unsaved)},
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	kv, err := d.open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("directory: bucket %s: %w", Bucket, err)
	}
	d.kv, d.follower = kv, d.follow()
	if cfg.NoUsers {
		d.follower.Keys = []string{kindPartner + ".*", kindFleet + ".*", kindConnection + ".*"}
	}
	if err := d.follower.ReadAll(ctx); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	return d, nil
}

func (d *Directory) open(ctx context.Context, cfg Config) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if cfg.AsItIs || cfg.Existing {
		kv, err := d.js.KeyValue(ctx, Bucket)
		switch {
		case !errors.Is(err, jetstream.ErrBucketNotFound):
			return kv, err
		case cfg.Existing:
			return nil, ErrNone
		}
	}
	return natsq.OpenBucket(ctx, d.js, d.bucket(), d.log)
}

func (d *Directory) bucket() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: Bucket, Description: "partners, fleets, connections and users",
		History: 1, Storage: jetstream.FileStorage, Replicas: d.replicas,
	}
}

// Ready is nil while Run keeps the copy up to date, or tries to: a copy that is
// a little old is still served when NATS is away.
func (d *Directory) Ready() error {
	if !d.following.Load() {
		return errors.New("directory: the bucket is not followed")
	}
	return nil
}

// Partner gives a partner and whether there is one with the id.
func (d *Directory) Partner(id uuid.UUID) (Partner, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p, ok := d.copy.partners[id]
	return p, ok
}

// Fleet gives a partner's fleet and whether it has one with the id.
func (d *Directory) Fleet(partner, id uuid.UUID) (Fleet, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	f, ok := d.copy.fleets[id]
	if !ok || f.PartnerID != partner {
		return Fleet{}, false
	}
	return f, true
}

// Connection gives a partner's connection and whether it has one with the id;
// another partner's is not found. A deleted connection is found, with that
// status.
func (d *Directory) Connection(partner, id uuid.UUID) (Connection, bool) {
	c, ok := d.ConnectionByID(id)
	if !ok || c.PartnerID != partner {
		return Connection{}, false
	}
	return c, true
}

// ConnectionByID gives a connection of any partner and whether there is one with
// the id. It is for the worker, which acts for all.
func (d *Directory) ConnectionByID(id uuid.UUID) (Connection, bool) {
	c, ok := d.held(id)
	return c.Connection, ok
}

// Connections lists a partner's connections, deleted ones too, by id ascending.
func (d *Directory) Connections(partner uuid.UUID) []Connection {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []Connection
	for _, id := range d.copy.ofPartner[partner] {
		out = append(out, d.copy.connections[id].Connection)
	}
	return out
}

// All lists every partner's connections, deleted ones too, in no order.
func (d *Directory) All() []Connection {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]Connection, 0, len(d.copy.connections))
	for _, c := range d.copy.connections {
		out = append(out, c.Connection)
	}
	return out
}

// ConnectionIDs lists every partner's connections, deleted ones too, in no order.
func (d *Directory) ConnectionIDs() []uuid.UUID {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.AppendSeq(make([]uuid.UUID, 0, len(d.copy.connections)), maps.Keys(d.copy.connections))
}

func (d *Directory) held(id uuid.UUID) (held, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	c, ok := d.copy.connections[id]
	if !ok {
		return held{}, false
	}
	return *c, true
}

// put takes an entry into the copy, from the bucket or just written to it, and
// wakes those who wait for a connection.
func (d *Directory) put(key string, value []byte, revision uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.copy.put(key, value, revision); err != nil {
		d.log.Error("directory entry ignored", "error", err)
		return
	}
	if kind, id, _ := splitKey(key); kind == kindConnection {
		if c := d.copy.connections[id]; c != nil && c.Locked && c.Revision == revision {
			d.log.Error("connection cannot be used", "connection_id", id, "error", d.box.locked(id))
		}
		close(d.changed)
		d.changed = make(chan struct{})
	}
}

// changes gives a channel that is closed at the next change of a connection.
func (d *Directory) changes() <-chan struct{} {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.changed
}
