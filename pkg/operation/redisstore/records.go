package redisstore

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"writeback/pkg/operation"
)

// records reads the records of index entries: from their pages, those that have not
// ended by themselves, and those that ended in between from their pages again. Nil
// stands for one that is gone; one that cannot be read has the reason.
func (s *Store) records(ctx context.Context, entries []at) ([]*Record, error) {
	out := make([]*Record, len(entries))
	for range 2 {
		if err := s.pages(ctx, entries, out); err != nil {
			return nil, err
		}
		if !slices.Contains(out, nil) {
			return out, nil
		}
		if err := s.hashes(ctx, entries, out); err != nil {
			return nil, err
		}
		if !slices.Contains(out, nil) {
			return out, nil
		}
	}
	return out, nil
}

// gone fails unless what was not found is known to be gone: the data of its shard may have
// been lost since the index was read. One of a shard tells of all.
func (s *Store) gone(ctx context.Context, entries []at, out []*Record) error {
	var calls []*call
	var asked [operation.Shards]bool
	for i, e := range entries {
		if out[i] == nil && !asked[e.shard] {
			asked[e.shard] = true
			calls = append(calls, s.newCall(getScript, e.shard, e.ID.String(), e.ID[:]))
		}
	}
	if err := s.performed(ctx, calls...); err != nil {
		return err
	}
	for _, c := range calls {
		r := c.answer
		if r.word() == "stale" { // maybe only what this process knows
			var err error
			if r, err = s.run(ctx, c.script, c.shard, c.args...); err != nil {
				return err
			}
		}
		if r.word() != "missing" {
			return ErrStale // it is back by now
		}
	}
	return nil
}

// pages fills in the missing records that lie in pages, a page at a time.
func (s *Store) pages(ctx context.Context, entries []at, out []*Record) error {
	places := map[string][]int{}
	for i, e := range entries {
		if out[i] == nil {
			key := s.prefix(e.shard) + "page:" + pageName(e.ID)
			places[key] = append(places[key], i)
		}
	}
	cmds := make(map[string]*redis.SliceCmd, len(places))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for key, at := range places {
			fields := make([]string, len(at))
			for k, i := range at {
				fields[k] = pageField(entries[i].ID)
			}
			cmds[key] = pipe.HMGet(ctx, key, fields...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for key, cmd := range cmds {
		for k, v := range cmd.Val() {
			whole, ok := v.(string)
			if !ok {
				continue
			}
			rec, err := decodePage([]byte(whole))
			i := places[key][k]
			rec.unread = unreadable(entries[i].ID, err)
			out[i] = &rec
		}
	}
	return nil
}

// hashes fills in the missing records that have a hash of their own.
func (s *Store) hashes(ctx context.Context, entries []at, out []*Record) error {
	cmds := make([]*redis.MapStringStringCmd, len(entries))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, e := range entries {
			if out[i] == nil {
				cmds[i] = pipe.HGetAll(ctx, s.prefix(e.shard)+"op:"+e.ID.String())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, cmd := range cmds {
		if cmd == nil || len(cmd.Val()) == 0 {
			continue
		}
		rec, err := decodeRecord(cmd.Val(), nil, ownRow{})
		rec.unread = unreadable(entries[i].ID, err)
		out[i] = &rec
	}
	return nil
}
