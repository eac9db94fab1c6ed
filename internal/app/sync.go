package app

import (
	"context"

	"writeback/internal/config"
	"writeback/internal/dirsync"
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
