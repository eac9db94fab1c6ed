package redisstore

import "context"

// LoseAnswers makes the store one that has seen no answer from Redis: what it sends next
// looks to the scripts like something that comes again.
func (s *Store) LoseAnswers() {
	for shard := range s.noted {
		s.noted[shard].Store(nil)
	}
}

// Touch shows now that the rebuild lives.
func (b *Rebuild) Touch(ctx context.Context) error { return b.touch(ctx, b.Shards) }
