package natsq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"
)

// Follower reads a key-value bucket, and then what changes in it, for a copy in memory.
// ReadAll and Run are for one goroutine, the one after the other.
type Follower struct {
	JetStream jetstream.JetStream
	// Keys are what is read of the bucket, as patterns. Nil: all of it, as Run needs it.
	Keys []string
	// Config names the bucket, and makes it again if it is gone.
	Config jetstream.KeyValueConfig
	// From gets the bucket as it is, before it is read, and gives the revision after which
	// the reading begins. 0: all of it is read.
	From func(now *jetstream.StreamInfo) (after uint64)
	// Take takes in an entry, or that one was removed.
	Take func(jetstream.KeyValueEntry)
	// Read is told that everything up to a revision was taken in; the entry that has it
	// may not be there any more. Nil: nobody is.
	Read func(ctx context.Context, last uint64)
	Log  *slog.Logger

	// every is how often Run looks whether anything was missed. 0: checkEvery.
	every time.Duration
}

const (
	// silence is how long ReadAll waits for anything to come. A bound on all of it would be
	// too short for some bucket.
	silence    = 10 * time.Second
	checkEvery = 30 * time.Second
	stopWait   = 2 * time.Second
	// firstPause and longestPause bound the wait between two tries to follow a bucket.
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
	// goneFor is how long a bucket is gone before Follower makes another.
	goneFor = time.Second
)

var (
	errReconnected = errors.New("natsq: connected anew")
	errWatchEnded  = errors.New("natsq: the watch has ended")
	errBehind      = errors.New("natsq: the watch fell silent")
	errSilent      = errors.New("natsq: nothing came for " + silence.String())
)

// ReadAll takes in all that the bucket holds, however long that takes: it gives up when
// the context ends, or nothing has come for 10 s.
func (f *Follower) ReadAll(ctx context.Context) error {
	ctx, heard, stop := listening(ctx)
	defer stop()
	for begun := false; ; {
		w, last, err := f.watch(ctx)
		if err == nil {
			begun = true
			err = f.takeAll(ctx, w.updates, heard)
			w.stop()
		}
		switch {
		case err == nil:
			f.read(ctx, last)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("natsq: read bucket %s: %w", f.Config.Bucket, context.Cause(ctx))
		case !begun:
			return err
		}
		// What broke is read on from where it is.
		select {
		case <-ctx.Done():
		case <-time.After(firstPause):
		}
	}
}

// listening gives a context that is over when heard was not called for as long as silence.
func listening(ctx context.Context) (_ context.Context, heard, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(silence, func() { cancel(errSilent) })
	return ctx, func() { timer.Reset(silence) }, func() { timer.Stop(); cancel(nil) }
}

// takeAll takes updates in up to the mark that all have come, and says for each that it was heard.
func (f *Follower) takeAll(ctx context.Context, updates <-chan jetstream.KeyValueEntry, heard func()) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e, open := <-updates:
			switch {
			case !open:
				return errWatchEnded
			case e == nil:
				return nil
			}
			heard()
			f.Take(e)
		}
	}
}

func (f *Follower) read(ctx context.Context, last uint64) {
	if f.Read != nil {
		f.Read(ctx, last)
	}
}

// Run takes changes in until the context ends. Whatever breaks the watch, it makes a new
// one.
func (f *Follower) Run(ctx context.Context) {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstPause),
		backoff.WithMaxInterval(longestPause), backoff.WithMaxElapsedTime(0))
	for {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errReconnected) || time.Since(began) > longestPause {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		f.Log.WarnContext(ctx, "bucket not followed", "bucket", f.Config.Bucket, "error", err, "again_in", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// follow takes changes in until something breaks the watch.
func (f *Follower) follow(ctx context.Context) error {
	w, last, err := f.watch(ctx)
	if err != nil {
		return err
	}
	defer w.stop()
	check := time.NewTicker(cmp.Or(f.every, checkEvery))
	defer check.Stop()
	seen, before := uint64(0), uint64(0)
	for {
		select {
		case e, open := <-w.updates:
			switch {
			case !open:
				return w.err
			case e == nil:
				seen = max(seen, last)
				f.read(ctx, last)
			default:
				seen = max(seen, e.Revision())
				f.Take(e)
			}
		case <-check.C:
			// Behind twice without a step in between: nothing comes any more. A check
			// that cannot be made says nothing.
			info, err := f.info(ctx)
			if err == nil && info.State.LastSeq != seen && seen == before {
				return errBehind
			}
			before = seen
		}
	}
}

// watch begins to read, and gives the revision up to which all will have been read when
// the mark comes.
func (f *Follower) watch(ctx context.Context) (_ *watch, last uint64, err error) {
	info, err := f.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		// A server that is still at removing it would take the files of a new one along.
		select {
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		case <-time.After(goneFor):
		}
		if _, err := OpenBucket(ctx, f.JetStream, f.Config, f.Log); err != nil {
			return nil, 0, err
		}
		info, err = f.info(ctx)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("natsq: bucket %s: %w", f.Config.Bucket, err)
	}
	w, err := watchBucket(ctx, f.JetStream, f.Config.Bucket, f.Keys, f.From(info))
	return w, info.State.LastSeq, err
}

// infoTimeout bounds a question about the bucket.
const infoTimeout = 5 * time.Second

func (f *Follower) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	return BucketInfo(ctx, f.JetStream, f.Config.Bucket)
}

// BucketInfo gives what a bucket is and holds now. The error is jetstream.ErrStreamNotFound
// if there is none.
func BucketInfo(ctx context.Context, js jetstream.JetStream, bucket string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	s, err := led(ctx, js, "KV_"+bucket)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}
