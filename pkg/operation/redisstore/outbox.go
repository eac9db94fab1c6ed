package redisstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// Ack is what the streams have confirmed of an operation.
type Ack struct {
	Connection, ID uuid.UUID
	Accepted       bool
	// Rows is how many rows are in the stream; RowVersion is the one they were
	// read at.
	Rows       int
	RowVersion string
	Final      bool
}

// Acked notes what is in the streams, for many operations in one pipeline. Once
// everything of an operation is, it leaves the outbox, and an ended one gets its
// time to live. What is lost here is published again, so a stale shard is no error.
func (s *Store) Acked(ctx context.Context, acks []Ack) error {
	return s.pipelined(ctx, func(pipe redis.Pipeliner) {
		for _, a := range acks {
			shard := operation.ShardOf(a.Connection)
			version := a.RowVersion
			if version == "" {
				version = "0"
			}
			pipe.EvalSha(ctx, ackedScript.Hash(), s.keys(shard), s.gen(shard),
				a.ID.String(), flag(a.Accepted), a.Rows, version, flag(a.Final), int64(s.cfg.RecordTTL/time.Second))
		}
	})
}

// Claim gives operations whose messages are overdue, at most the given number a
// shard, and puts each off by hold, so that two publishers seldom take the same
// one. A record that cannot be read is skipped and reported in the error, beside
// the others.
func (s *Store) Claim(ctx context.Context, most int, hold time.Duration) ([]Record, error) {
	cmds := make([]*redis.Cmd, operation.Shards)
	err := s.pipelined(ctx, func(pipe redis.Pipeliner) {
		for shard := range cmds {
			cmds[shard] = pipe.EvalSha(ctx, claimScript.Hash(), s.keys(shard), s.gen(shard), most, hold.Milliseconds())
		}
	})
	if err != nil {
		return nil, err
	}
	var out []Record
	var bad error
	for _, cmd := range cmds {
		v, err := cmd.Slice()
		if err != nil {
			return out, err
		}
		if r := reply(v); r.word() == "ok" {
			for _, item := range array(r[1]) {
				rec, err := decodeRecord(pairs(array(item)[1]))
				if err != nil {
					bad = errors.Join(bad, err)
					continue
				}
				rec.Blocked = lifted(array(item)[2])
				out = append(out, rec)
			}
		}
	}
	return out, bad
}

// pipelined runs a pipeline of scripts; when Redis has forgotten them, it loads
// them and runs it once more. Scripts may run twice, so that is safe.
func (s *Store) pipelined(ctx context.Context, build func(pipe redis.Pipeliner)) error {
	run := func() error {
		_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			build(pipe)
			return nil
		})
		return err
	}
	err := run()
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		if err = s.load(ctx); err == nil {
			err = run()
		}
	}
	return err
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
