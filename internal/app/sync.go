package app

import (
	"context"
	"fmt"

	"writeback/internal/config"
	"writeback/internal/directory"
	"writeback/internal/dirsync"
	"writeback/internal/seal"
)

// RunSync keeps the directory's users as the providers have them, until ctx ends. works is
// called once it has what it waits for.
func RunSync(ctx context.Context, b *Base, cfg config.Worker, works func()) error {
	var book *dirsync.Book
	err := b.await(ctx, "directory sync", func(ctx context.Context) (err error) {
		book, err = dirsync.OpenBook(ctx, b.JetStream, cfg.Replicas, b.Log)
		return err
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	works()
	return dirsync.New(dirsync.Parts{
		Directory: b.Directory, Providers: b.Providers, Rates: b.Store, Redis: b.Redis, Book: book, Log: b.Log,
	}, dirsync.Config{Every: cfg.SyncEvery}).Run(ctx)
}

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
