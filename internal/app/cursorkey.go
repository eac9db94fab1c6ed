package app

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/natsq"
)

const (
	sharedBucket  = "writeback-shared"
	cursorKeyName = "cursor-key"
)

// cursorKey gives the key of page cursors: the configured one, or a random one that
// the first api process made and all share. It lies in NATS, since Redis may be
// wiped, and a cursor must outlive that. It is no secret of weight: a cursor says where
// a list goes on, and whose list it is says the token.
func (b *Base) cursorKey(ctx context.Context, configured []byte, replicas int) ([]byte, error) {
	if len(configured) > 0 {
		return configured, nil
	}
	return b.agreed(ctx, "cursor key", jetstream.KeyValueConfig{
		Bucket: sharedBucket, Description: "what api processes agree on", Replicas: max(replicas, 1),
	}, cursorKeyName, func() ([]byte, error) {
		fresh := make([]byte, 32)
		_, _ = rand.Read(fresh)
		return fresh, nil
	})
}

// agreed gives what lies under a name in a bucket: what the first process has made that asked
// for it. It waits until ctx ends.
func (b *Base) agreed(ctx context.Context, what string, bucket jetstream.KeyValueConfig, name string, generate func() ([]byte, error)) (value []byte, err error) {
	err = b.await(ctx, what, func(ctx context.Context) error {
		kv, err := natsq.OpenBucket(ctx, b.JetStream, bucket, b.Log)
		if err != nil {
			return err
		}
		fresh, err := generate()
		if err != nil {
			return err
		}
		if _, err := kv.Create(ctx, name, fresh); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
		e, err := kv.Get(ctx, name)
		if err != nil {
			return err
		}
		value = e.Value()
		return nil
	})
	return value, err
}
