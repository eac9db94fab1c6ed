package redisstore

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

// A run goes on after a call that fails, and tells each caller its own answer.
func TestRun_OneCallFailsAlone(t *testing.T) {
	t.Parallel()
	opt, err := redis.ParseURL(testenv.Redis(t))
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	s := New(rdb, Config{})
	lanes := make([]uuid.UUID, 3)
	calls := make([]*call, len(lanes))
	for i := range lanes {
		lanes[i] = uuid.New()
		shard := operation.ShardOf(lanes[i])
		require.NoError(t, s.Begin(t.Context(), []int{shard}))
		_, err := s.Poll(t.Context(), 1)
		require.NoError(t, err)
		calls[i] = s.newCall(pauseScript, shard, lanes[i].String(), flag(true))
	}
	broken := s.prefix(operation.ShardOf(lanes[1])) + "lane:" + lanes[1].String()
	require.NoError(t, rdb.Set(t.Context(), broken, "not a hash", 0).Err())
	s.perform(t.Context(), calls)
	require.NoError(t, calls[0].err)
	require.ErrorContains(t, calls[1].err, "WRONGTYPE")
	require.NoError(t, calls[2].err)
	for _, i := range []int{0, 2} {
		require.Equal(t, "ok", calls[i].answer.word())
		lane, err := s.Lane(t.Context(), lanes[i])
		require.NoError(t, err)
		require.True(t, lane.Paused)
	}
	require.NoError(t, rdb.Del(t.Context(), broken).Err())
	require.NoError(t, s.performed(t.Context(), calls[1]), "and it is whole again")
}

func TestMark_WhatWasAnswered(t *testing.T) {
	t.Parallel()
	m := &mark{n: 1, seen: 1}
	for _, n := range []int64{2, 5, 3, 70, 69, 7, 8} {
		m = m.then(n)
		require.NotEqualValues(t, wentBack, m.n, "%d comes for the first time", n)
	}
	require.EqualValues(t, 70, m.n)
	require.EqualValues(t, 70, m.then(5).n, "so long ago that nobody remembers")
	for _, n := range []int64{70, 69, 8, 7} {
		require.EqualValues(t, wentBack, m.then(n).n, "%d came before", n)
	}
	require.EqualValues(t, 70, m.then(68).n)
	require.EqualValues(t, wentBack, m.then(70).then(71).n, "it stays so")
}

// A process that has been silent for long does not take the shard, which has forgotten its
// mark meanwhile, for one that went back.
func TestMark_IsBelievedForADay(t *testing.T) {
	t.Parallel()
	gen := spareID()
	s := New(nil, Config{})
	noted := func(of shardOfRun) string { return strings.TrimPrefix(s.caller(of, false), gen+"+") }
	shard := shardOfRun{number: 3, gen: gen, raises: true, believes: s.believes(3)}
	s.note(shard, 1000)
	require.Equal(t, "1000", noted(shard))
	require.Equal(t, "0", strings.TrimPrefix(s.caller(shard, true), gen+"+"), "a run that reads cannot withdraw anything")

	s.began = time.Now().Add(-markFor)
	require.False(t, s.believes(3))
	s.beats[3].Store(&beat{gen: gen, at: time.Now().Add(-time.Hour).UnixMilli()})
	require.True(t, s.believes(3))
	s.beats[3].Store(&beat{gen: gen, at: time.Now().Add(-markFor).UnixMilli()})
	require.False(t, s.believes(3))

	shard.believes = false
	require.Equal(t, "0", noted(shard))
	s.note(shard, 1) // its mark was taken away
	shard.believes = true
	require.Equal(t, "1", noted(shard))
}

// A batch of many operations leaves in several runs, so that others get their turn between them.
func TestFlights_AreBoundedByWeight(t *testing.T) {
	t.Parallel()
	waiting := func(n, operations int) []*passenger {
		out := make([]*passenger, n)
		for i := range out {
			out[i] = &passenger{call: call{args: make([]any, operations*acceptFields)}}
		}
		return out
	}
	require.Equal(t, flightMost, fit(waiting(200, 1)))
	require.Equal(t, 20, fit(waiting(20, 1)))
	require.Equal(t, 2, fit(waiting(16, manyMost)), "of 1,000 operations")
}

// Of a run that a full memory has refused for the sake of an accept, the other calls are run by themselves. What
// has been run, or may have been, is not run once more.
func TestRun_Hindered(t *testing.T) {
	t.Parallel()
	accept, get := &call{script: acceptScript}, &call{script: getScript}
	oom := redis.NewCmd(t.Context())
	oom.SetErr(proto("OOM command not allowed when used memory > 'maxmemory'."))
	broken := redis.NewCmd(t.Context())
	broken.SetErr(io.EOF)
	for name, tc := range map[string]struct {
		calls []*call
		cmd   *redis.Cmd
		want  []*call
	}{
		"the memory is full":     {[]*call{accept, get}, oom, []*call{get}},
		"it was run":             {[]*call{accept, get}, redis.NewCmd(t.Context()), nil},
		"the connection broke":   {[]*call{accept, get}, broken, nil},
		"no functions are known": {[]*call{get}, oom, nil},
	} {
		r := &run{cmd: tc.cmd}
		for _, c := range tc.calls {
			r.calls, r.grows = append(r.calls, c), r.grows || c.script.grows
		}
		require.Equal(t, tc.want, r.hindered(), name)
	}
}

// proto is an error that Redis answered.
type proto string

func (p proto) Error() string { return string(p) }

func (proto) RedisError() {}
