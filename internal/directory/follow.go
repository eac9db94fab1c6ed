package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
)

const (
	checkEvery = 30 * time.Second
	stopWait   = 2 * time.Second
	// longestPause bounds the wait between two tries to follow the bucket.
	longestPause = 5 * time.Second
)

var (
	errReconnected = errors.New("directory: connected anew")
	errWatchEnded  = errors.New("directory: watch ended")
	errBehind      = errors.New("directory: watch fell silent")
	errSilent      = errors.New("directory: nothing came for " + silence.String())
)

// Run keeps the copy up to date until the context ends, and then returns nil.
// Whatever breaks the watch, it makes a new one. It is called once.
func (d *Directory) Run(ctx context.Context) error {
	d.following.Store(true)
	defer d.following.Store(false)
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(longestPause), backoff.WithMaxElapsedTime(0))
	for {
		started := time.Now()
		err := d.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errReconnected) || time.Since(started) > longestPause {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		d.log.Warn("directory watch lost", "error", err, "again_in", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// read takes in all that the bucket holds.
func (d *Directory) read(ctx context.Context, heard func()) error {
	w, err := d.watch(ctx)
	if err != nil {
		return err
	}
	defer stop(w)
	return d.takeAll(ctx, w.Updates(), heard)
}

// takeAll takes updates in up to the mark that all have come, and says for each that it was heard.
func (d *Directory) takeAll(ctx context.Context, updates <-chan jetstream.KeyValueEntry, heard func()) error {
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("directory: read the bucket: %w", context.Cause(ctx))
		case e, open := <-updates:
			switch {
			case !open:
				return errWatchEnded
			case e == nil:
				return nil
			}
			heard()
			d.take(e)
		}
	}
}

// follow takes changes in until something breaks the watch. A new connection
// breaks it, since the server may have been another or have lost the watch.
func (d *Directory) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nc := d.js.Conn()
	connected := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(connected)
	w, err := d.watch(ctx)
	if err != nil {
		return err
	}
	defer stop(w)
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	before := d.seen
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-connected:
			return errReconnected
		case e, open := <-w.Updates():
			if !open {
				return errWatchEnded
			}
			if e != nil {
				d.take(e)
			}
		case <-check.C:
			// Behind twice without a step in between: nothing comes any more. A check
			// that cannot be made says nothing.
			last, err := d.last(ctx)
			if err == nil && last != d.seen && d.seen == before {
				return errBehind
			}
			before = d.seen
		}
	}
}

// watch starts where the last one ended. A bucket that is not the one read
// before, or that has gone back, is read from its start; what it does not hold
// stays in the copy until it is written again.
func (d *Directory) watch(ctx context.Context) (jetstream.KeyWatcher, error) {
	info, err := d.stream(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) {
		if _, err := natsq.OpenBucket(ctx, d.js, d.bucket(), d.log); err != nil {
			return nil, fmt.Errorf("directory: bucket %s: %w", Bucket, err)
		}
		info, err = d.stream(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("directory: bucket %s: %w", Bucket, err)
	}
	if !info.Created.Equal(d.created) || info.State.LastSeq < d.seen {
		if d.seen > 0 {
			d.log.Error("directory bucket is new or has gone back: load the registry file again")
		}
		d.mu.Lock()
		d.copy.forgetRevisions()
		d.mu.Unlock()
		d.created, d.seen = info.Created, 0
	}
	var opts []jetstream.WatchOpt
	if d.seen > 0 {
		opts = append(opts, jetstream.ResumeFromRevision(d.seen+1))
	}
	w, err := d.kv.WatchAll(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("directory: watch: %w", err)
	}
	return w, nil
}

func (d *Directory) stream(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := d.js.Stream(ctx, "KV_"+Bucket)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

func (d *Directory) last(ctx context.Context) (uint64, error) {
	info, err := d.stream(ctx)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
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

// stop ends the watch and reads what is left of it: the watch's own goroutine
// may wait for a reader.
func stop(w jetstream.KeyWatcher) {
	_ = w.Stop()
	late := time.After(stopWait)
	for {
		select {
		case <-late:
			return
		case _, open := <-w.Updates():
			if !open {
				return
			}
		}
	}
}
