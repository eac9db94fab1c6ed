package natsq

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"
)

// OpenBucket opens a key-value bucket: it creates one that is missing, and brings one that
// is there to at least what is wanted, as Ensure does with streams. What a bucket may hold
// altogether is the operator's. log is told of one that cannot be widened; nil: nobody is.
func OpenBucket(ctx context.Context, js jetstream.JetStream, want jetstream.KeyValueConfig, log *slog.Logger) (jetstream.KeyValue, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := provision{js, log}
	err := p.bucket(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		kv, err := js.CreateKeyValue(ctx, want)
		if !errors.Is(err, jetstream.ErrBucketExists) {
			return kv, wrap("bucket", want.Bucket, err)
		}
		if err := p.bucket(ctx, want); err != nil { // another process was first, with other sizes
			return nil, wrap("bucket", want.Bucket, err)
		}
	} else if err != nil {
		return nil, wrap("bucket", want.Bucket, err)
	}
	kv, err := js.KeyValue(ctx, want.Bucket)
	return kv, wrap("bucket", want.Bucket, err)
}

// ReadKey gives the value of a key. Nil: there is no such key, or no such bucket; it makes
// none.
func ReadKey(ctx context.Context, js jetstream.JetStream, bucket, key string) ([]byte, error) {
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return nil, unlessNone(bucket, err)
	}
	e, err := kv.Get(ctx, key)
	if err != nil {
		return nil, unlessNone(bucket, err)
	}
	return e.Value(), nil
}

func unlessNone(bucket string, err error) error {
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	return wrap("bucket", bucket, err)
}

// bucket widens a bucket that is there.
func (p provision) bucket(ctx context.Context, want jetstream.KeyValueConfig) error {
	s, err := p.js.Stream(ctx, "KV_"+want.Bucket)
	if err != nil {
		return err
	}
	have := s.CachedInfo().Config
	if err := fit(have, jetstream.StreamConfig{Retention: jetstream.LimitsPolicy, Storage: want.Storage}); err != nil {
		return err
	}
	wide := have
	wide.Description, wide.Discard, wide.NoAck = want.Description, jetstream.DiscardNew, false
	wide.MaxMsgsPerSubject = max(have.MaxMsgsPerSubject, int64(want.History), 1)
	wide.Replicas = max(have.Replicas, want.Replicas)
	// These would drop or refuse entries unseen.
	wide.MaxAge, wide.MaxMsgs, wide.MaxMsgSize = 0, -1, -1
	return p.widen(ctx, have, wide)
}
