package dirsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
)

// Bucket is the name of the key-value bucket with the progress of each connection.
const Bucket = "writeback-sync"

// errTaken says that the entry is not what it was: another worker has it.
var errTaken = errors.New("dirsync: another worker took the walk over")

// Progress is what is known of the last walk of a connection. The zero value: it
// was never walked.
type Progress struct {
	// Run names the walk.
	Run uuid.UUID `json:"run_id"`
	// Cursor of the page that is next. Empty: the first.
	Cursor string `json:"cursor,omitempty"`
	// Listed says that every page was read; what is left is to mark who is gone.
	Listed bool `json:"listed,omitempty"`
	// Pages and Users that were read, and how many different ones were seen.
	Pages int   `json:"pages"`
	Users int   `json:"users"`
	Seen  int64 `json:"seen"`
	// Total is the most users that the provider said it has. Zero: it does not say.
	Total int `json:"total,omitempty"`
	// What was written to the directory.
	Created int `json:"created"`
	Updated int `json:"updated"`
	Gone    int `json:"gone"`

	StartedAt  time.Time `json:"started_at,omitzero"`
	UpdatedAt  time.Time `json:"updated_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// WantedAt is when somebody last asked for a walk, AnsweredAt the one of these that
	// was taken up last. They are compared with each other only: clocks differ.
	WantedAt   time.Time `json:"wanted_at,omitzero"`
	AnsweredAt time.Time `json:"answered_at,omitzero"`
	// Again says that somebody asked while the walk was under way: another follows it.
	Again bool `json:"again,omitempty"`
	// LastError is what went wrong last in this walk. It names no user.
	LastError string `json:"last_error,omitempty"`
	// Failures in a row.
	Failures int `json:"failures,omitempty"`
	// GivenUp counts the walks in a row that had to begin anew.
	GivenUp int `json:"given_up,omitempty"`
	// ResumeAt is when the walk goes on. Told: the provider said so.
	ResumeAt time.Time `json:"resume_at,omitzero"`
	Told     bool      `json:"told,omitempty"`
	// Restart asks for a walk from the first page, since this one was given up.
	Restart bool `json:"restart,omitempty"`
	// Owner walks until LeaseUntil.
	Owner      uuid.UUID `json:"owner,omitzero"`
	LeaseUntil time.Time `json:"lease_until,omitzero"`

	revision uint64
}

// Unfinished reports whether the walk was begun and has more to do.
func (p Progress) Unfinished() bool {
	return p.Run != uuid.Nil && p.FinishedAt.IsZero() && !p.Restart
}

// Asked reports whether somebody asked for a walk and nobody took that up yet.
func (p Progress) Asked() bool { return !p.WantedAt.IsZero() && !p.WantedAt.Equal(p.AnsweredAt) }

// State is the progress in one word: never, waiting, walking, paused, failing or
// finished.
func (p Progress) State(now time.Time) string {
	switch {
	case now.Before(p.LeaseUntil):
		return "walking"
	case p.Asked() && !p.Unfinished():
		return "waiting"
	case p.Failures > 0:
		return "failing"
	case p.Unfinished():
		return "paused"
	case p.Run == uuid.Nil:
		return "never"
	}
	return "finished"
}

// readAnew is how often the bucket is read from its start: it may be another one.
const readAnew = 10 * time.Minute

// Book keeps the progress in NATS. Safe for concurrent use.
type Book struct {
	js jetstream.JetStream
	kv jetstream.KeyValue
	// open makes the bucket if there is none.
	open func(context.Context) (jetstream.KeyValue, error)

	mu sync.Mutex
	// copy is replaced, never changed, once it was given away.
	copy   map[uuid.UUID]Progress
	given  bool
	read   uint64 // how far
	readAt time.Time
}

// OpenBook makes the bucket if there is none. log is told when it cannot be widened; nil: nobody is.
func OpenBook(ctx context.Context, js jetstream.JetStream, replicas int, log *slog.Logger) (*Book, error) {
	open := func(ctx context.Context) (jetstream.KeyValue, error) {
		return natsq.OpenBucket(ctx, js, jetstream.KeyValueConfig{
			Bucket: Bucket, Description: "progress of the directory sync by connection",
			History: 1, Storage: jetstream.FileStorage, Replicas: max(1, replicas),
		}, log)
	}
	kv, err := open(ctx)
	if err != nil {
		return nil, fmt.Errorf("dirsync: bucket %s: %w", Bucket, err)
	}
	return &Book{js: js, kv: kv, open: open}, nil
}

// Get gives the progress of a connection; the zero value if there is none.
func (b *Book) Get(ctx context.Context, connection uuid.UUID) (Progress, error) {
	e, err := b.kv.Get(ctx, connection.String())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Progress{}, nil
	}
	if err != nil {
		return Progress{}, fmt.Errorf("dirsync: read progress: %w", err)
	}
	return decode(e)
}

func decode(e jetstream.KeyValueEntry) (Progress, error) {
	var p Progress
	if err := json.Unmarshal(e.Value(), &p); err != nil {
		return Progress{}, fmt.Errorf("dirsync: progress of %s cannot be read", e.Key())
	}
	p.revision = e.Revision()
	return p, nil
}

// All gives the progress of every connection that has any; the map is never changed. A bucket
// that is gone it makes anew: all connections are walked again.
func (b *Book) All(ctx context.Context) (map[uuid.UUID]Progress, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	// Only what is new is read.
	if time.Since(b.readAt) > readAnew {
		b.copy, b.given, b.read, b.readAt = make(map[uuid.UUID]Progress), false, 0, time.Now()
	}
	err := natsq.ReadBucket(ctx, b.js, Bucket, b.read, b.take)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		b.copy, b.given, b.read = make(map[uuid.UUID]Progress), false, 0
		if _, err = b.open(ctx); err == nil {
			err = natsq.ReadBucket(ctx, b.js, Bucket, 0, b.take)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("dirsync: read progress: %w", err)
	}
	b.given = true
	return b.copy, nil
}

func (b *Book) take(e jetstream.KeyValueEntry) {
	b.read = max(b.read, e.Revision())
	id, err := uuid.Parse(e.Key())
	if err != nil {
		return
	}
	if b.given {
		b.copy, b.given = maps.Clone(b.copy), false
	}
	if e.Operation() != jetstream.KeyValuePut {
		delete(b.copy, id)
		return
	}
	if p, err := decode(e); err == nil {
		b.copy[id] = p
	}
}

// Want asks for a walk of the connection. One under way goes on, and another
// follows it.
func (b *Book) Want(ctx context.Context, connection uuid.UUID, at time.Time) error {
	for {
		p, err := b.Get(ctx, connection)
		if err != nil {
			return err
		}
		p.WantedAt = at.UTC()
		_, err = b.write(ctx, connection, p)
		if !errors.Is(err, errTaken) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("dirsync: %w", err)
		}
	}
}

// write stores the progress on top of the revision that it was read at. The error
// is errTaken if there is a newer one.
func (b *Book) write(ctx context.Context, connection uuid.UUID, p Progress) (Progress, error) {
	value, err := json.Marshal(p)
	if err != nil {
		return p, fmt.Errorf("dirsync: %w", err)
	}
	var revision uint64
	if p.revision == 0 {
		revision, err = b.kv.Create(ctx, connection.String(), value)
	} else {
		revision, err = b.kv.Update(ctx, connection.String(), value, p.revision)
	}
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrKeyExists),
		errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant):
		return p, errTaken
	case err != nil:
		return p, fmt.Errorf("dirsync: keep progress: %w", err)
	}
	p.revision = revision
	return p, nil
}

// keep stores the progress of a walk that its owner has. Somebody may have asked
// for another walk meanwhile, which stays.
func (b *Book) keep(ctx context.Context, connection uuid.UUID, p Progress, owner uuid.UUID) (Progress, error) {
	for {
		kept, err := b.write(ctx, connection, p)
		if !errors.Is(err, errTaken) {
			return kept, err
		}
		now, err := b.Get(ctx, connection)
		if err != nil {
			return p, err
		}
		if now.Owner != owner || now.Run != p.Run {
			return p, errTaken
		}
		p.WantedAt, p.revision = now.WantedAt, now.revision
	}
}
