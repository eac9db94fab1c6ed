package app

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"writeback/internal/directory"
	"writeback/internal/natsq"
	"writeback/internal/seal"
)

// credentialSealer reads the keyset that seals credentials. Without a file there is
// none: a key that lay beside them would protect nothing.
func (b *Base) credentialSealer(ctx context.Context, file string) (directory.Sealer, error) {
	if file == "" {
		b.Log.WarnContext(ctx, "provider credentials are stored in clear: there is no keyset", "variable", directory.KeysetVariable)
		return nil, nil
	}
	s, err := seal.Load(file)
	if err != nil {
		return nil, fmt.Errorf("app: %s: %w", directory.KeysetVariable, err)
	}
	return s, nil
}

// webhookSealer reads the keyset, or shares a generated one through NATS, where it protects
// nothing from whoever can read the bucket of the secrets. A keyset also opens what was
// sealed before there was one.
func (b *Base) webhookSealer(ctx context.Context, file string, replicas int) (*seal.Sealer, error) {
	if file != "" {
		s, err := seal.Load(file)
		if err != nil {
			return nil, fmt.Errorf("app: WRITEBACK_KEYSET_FILE: %w", err)
		}
		var generated []byte
		err = b.await(ctx, "development keyset", func(ctx context.Context) error {
			generated, err = natsq.ReadKey(ctx, b.JetStream, seal.DevelopmentBucket, seal.DevelopmentKey)
			return err
		})
		if err != nil {
			return nil, err
		}
		return s.After(generated)
	}
	b.Log.WarnContext(ctx, "WRITEBACK_KEYSET_FILE is not set: webhook secrets are sealed with a generated key that lies in NATS beside them. "+
		"That protects nothing; it is for development only", "bucket", seal.DevelopmentBucket)
	generated, err := b.agreed(ctx, "development keyset", jetstream.KeyValueConfig{
		Bucket: seal.DevelopmentBucket, Description: "generated key for development", Replicas: max(replicas, 1),
	}, seal.DevelopmentKey, seal.Generate)
	if err != nil {
		return nil, err
	}
	return seal.New(generated)
}
