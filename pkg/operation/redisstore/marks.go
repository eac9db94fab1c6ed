package redisstore

import (
	"strconv"
	"time"
)

// mark numbers the runs of this process in a shard, under a generation. Redis counts them,
// in the order in which it runs them; a shard that has a lower number than was answered
// went back in time, and so did one that gives a number again.
type mark struct {
	gen string
	n   int64
	// seen says which of the last numbers were answered: bit k stands for n-k.
	seen uint64
}

const (
	// markFor is how long after its last sign of life (its start, or a beat) a process
	// believes in what it noted: the shard forgets its mark after twice as long.
	markFor = 24 * time.Hour
	// wentBack is a mark that no shard reaches: its next run withdraws the generation.
	wentBack = 1 << 52
	// noGen stands for a generation that is not known. It is less than any.
	noGen = "------------------------------------"
)

func (s *Store) believes(shard int) bool {
	if time.Since(s.began) < markFor {
		return true
	}
	b := s.beats[shard].Load()
	return b != nil && time.Since(milli(b.at)) < markFor
}

// caller is what a run is told of what this process knows of a shard, see know in
// lua/parts/core.lua. A run that only reads cannot withdraw a generation.
func (s *Store) caller(shard shardOfRun, reads bool) string {
	b := make([]byte, 0, len(noGen)+17)
	if b = append(b, shard.gen...); len(b) != len(noGen) {
		b = append(b[:0], noGen...)
	}
	if shard.raises {
		b = append(b, '+')
	} else {
		b = append(b, '-')
	}
	var noted int64
	if was := s.noted[shard.number].Load(); was != nil && !reads && shard.believes && was.gen == shard.gen {
		noted = was.n
	}
	return string(strconv.AppendInt(b, noted, 10))
}

// note remembers a mark that was answered.
func (s *Store) note(shard shardOfRun, n int64) {
	m := mark{gen: shard.gen, n: n, seen: 1}
	for {
		was := s.noted[shard.number].Load()
		if was != nil && was.gen > m.gen {
			return
		}
		next := &m
		if was != nil && was.gen == m.gen && shard.believes {
			next = was.then(n)
		}
		if s.noted[shard.number].CompareAndSwap(was, next) {
			return
		}
	}
}

// then gives what is noted when n is answered too.
func (m *mark) then(n int64) *mark {
	next := *m
	back := m.n - n
	switch {
	case back < 0:
		next.n, next.seen = n, m.seen<<-back|1
	case back >= 64: // too long ago to know, or known to have gone back
	case m.seen>>back&1 == 1: // twice: Redis forgot that it had given it
		next.n, next.seen = wentBack, 0
	default:
		next.seen |= 1 << back
	}
	return &next
}

// newest gives the newest generation of the shard that has ever answered.
func (s *Store) newest(shard int) string {
	if m := s.noted[shard].Load(); m != nil {
		return max(m.gen, s.gen(shard))
	}
	return s.gen(shard)
}
