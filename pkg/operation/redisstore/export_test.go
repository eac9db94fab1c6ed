package redisstore

// LoseAnswers makes the store one that has seen no answer from Redis: what it sends next
// looks to the scripts like something that comes again.
func (s *Store) LoseAnswers() {
	for shard := range s.noted {
		s.noted[shard].Store(nil)
	}
}
