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
	var key []byte
	err := b.await(ctx, "cursor key", func(ctx context.Context) error {
		kv, err := natsq.OpenBucket(ctx, b.JetStream, jetstream.KeyValueConfig{
			Bucket: sharedBucket, Description: "what api processes agree on", Replicas: max(replicas, 1),
		}, b.Log)
		if err != nil {
			return err
		}
		fresh := make([]byte, 32)
		_, _ = rand.Read(fresh)
		if _, err := kv.Create(ctx, cursorKeyName, fresh); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
		e, err := kv.Get(ctx, cursorKeyName)
		if err != nil {
			return err
		}
		key = e.Value()
		return nil
	})
	return key, err
}
