package rolling

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/testenv"
	"writeback/test/e2e/stack"
)

// later is what a version after this one may have changed: the scripts, and more in a record, in
// its fixed part and in what the streams carry.
var later = map[string][2]string{
	"pkg/operation/redisstore/lua/parts/put.lua": {"' ' .. sync)", "' ' .. sync .. ' 1')"},
	"pkg/operation/redisstore/doc.go":            {"f.someID(docOrigin, a.Origin)", "f.someID(docOrigin, a.Origin); f.someNumber(docOrigin+1, 1)"},
	"pkg/operation/append.go":                    {"`,\"id\":`, a.ID)", "`,\"later\":{\"more\":[1]},\"id\":`, a.ID)"},
}

// TestVersions_RunSideBySide upgrades two apis and two workers one by one while clients write,
// takes one of each back, and upgrades it again. Every write is accepted, each ends and none goes
// out twice, and no program meets anything that it cannot read.
func TestVersions_RunSideBySide(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a load")
	}
	now := testenv.Programs(t, "api", "worker")
	next := testenv.OtherPrograms(t, later, "api", "worker")
	s := stack.Start(t, stack.Options{APIs: 2, Workers: 2, Registry: stack.Registry{Limits: limits}})
	misbehave(t, s)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l := &load{stack: s}
	var writing sync.WaitGroup
	for n := range clients {
		writing.Go(func() { l.write(ctx, n) })
	}
	for _, step := range []struct {
		program *stack.Process
		to      string
	}{
		{s.APIs[0], next}, {s.Workers[1], next}, {s.APIs[1], next}, {s.Workers[0], next},
		{s.Workers[1], now}, {s.APIs[0], now}, {s.Workers[1], next}, {s.APIs[0], next},
	} {
		misbehave(t, s)
		end(t, step.program)
		step.program.Use(step.to)
		require.NoError(t, step.program.Start(), step.program.Name)
		l.await(t, l.accepted.Load()+60)
	}
	stop()
	writing.Wait()

	require.Zero(t, l.gaveUp.Load()+l.declined.Load(), "writes that no api took")
	h, err := s.Collect(t.Context(), l.requests, settle)
	require.NoError(t, err)
	report := history.Check(h)
	require.True(t, report.Clean(), report.String())
	require.Zero(t, report.Counts.Failed)
	require.Empty(t, report.Residue)
	for _, p := range append(append([]*stack.Process{}, s.APIs...), s.Workers...) {
		text, err := p.Log()
		require.NoError(t, err)
		require.NotContains(t, string(text), `"level":"ERROR"`, p.Name)
		for _, line := range strings.Split(string(text), "\n") {
			require.False(t, strings.Contains(line, `"level":"WARN"`) && strings.Contains(line, `"error"`), "%s: %s", p.Name, line)
		}
	}
}
