package redisstore

import (
	"context"
	"time"
)

// NotedStreams gives what was last noted of the streams, by name.
func (s *Store) NotedStreams(ctx context.Context) (map[string]string, error) {
	return s.rdb.HGetAll(ctx, s.cfg.Prefix+":streams").Result()
}

// NoteStreams notes what the streams are: what was accepted and has ended up to now is in
// them.
func (s *Store) NoteStreams(ctx context.Context, noted map[string]string) error {
	return s.rdb.HSet(ctx, s.cfg.Prefix+":streams", noted).Err()
}

// TakeRefill says that this process publishes again what a stream lacks, unless another
// one does. It holds for as long as it is said again.
func (s *Store) TakeRefill(ctx context.Context, hold time.Duration) (bool, error) {
	key := s.cfg.Prefix + ":streams:refill"
	taken, err := s.rdb.SetNX(ctx, key, s.process, hold).Result()
	if err != nil || taken {
		return taken, err
	}
	if who, err := s.rdb.Get(ctx, key).Result(); err != nil || who != s.process {
		return false, nil //nolint:nilerr // gone in between: the next look takes it
	}
	return s.rdb.PExpire(ctx, key, hold).Result()
}

// EndRefill lets another process begin at once.
func (s *Store) EndRefill(ctx context.Context) error {
	return s.rdb.Eval(ctx, deleteIf, []string{s.cfg.Prefix + ":streams:refill"}, s.process).Err()
}
