package directory

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
)

// Run keeps the copy up to date until the context ends, and then returns nil. It is
// called once.
func (d *Directory) Run(ctx context.Context) error {
	d.following.Store(true)
	defer d.following.Store(false)
	d.follower.Run(ctx)
	return nil
}

func (d *Directory) follow() *natsq.Follower {
	return &natsq.Follower{JetStream: d.js, Config: d.bucket(), From: d.from, Take: d.take, Log: d.log}
}

// from goes on where the last watch ended. A bucket that is not the one read before, or
// that has gone back, is read from its start; what it does not hold stays in the copy
// until it is written again.
func (d *Directory) from(now *jetstream.StreamInfo) uint64 {
	if !now.Created.Equal(d.created) || now.State.LastSeq < d.seen {
		if d.seen > 0 {
			d.log.Error("directory bucket is new or has gone back: load the registry file again")
		}
		d.mu.Lock()
		d.copy.forgetRevisions()
		d.mu.Unlock()
		d.created, d.seen = now.Created, 0
	}
	return d.seen
}

func (d *Directory) take(e jetstream.KeyValueEntry) {
	if e.Operation() == jetstream.KeyValuePut {
		d.put(e.Key(), e.Value(), e.Revision())
	} else {
		d.mu.Lock()
		d.copy.remove(e.Key(), e.Revision())
		d.mu.Unlock()
	}
	d.seen = max(d.seen, e.Revision())
}
