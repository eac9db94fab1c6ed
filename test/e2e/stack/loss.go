package stack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"writeback/internal/history"
	"writeback/pkg/operation"
)

// WipeRedis kills Redis, removes its files and starts it empty on the same port.
func (s *Stack) WipeRedis(down time.Duration) error {
	since := time.Now()
	defer s.lost(since)
	s.Redis.Kill()
	if err := os.RemoveAll(s.appendOnly()); err != nil {
		return err
	}
	time.Sleep(down)
	return s.Redis.Restart()
}

// FlushRedis empties Redis while it runs.
func (s *Stack) FlushRedis(ctx context.Context) error {
	since := time.Now()
	defer s.lost(since)
	return s.rdb.FlushAll(ctx).Err()
}

// FillRedis has Redis take its memory for full, for so long.
func (s *Stack) FillRedis(ctx context.Context, lasts time.Duration) error {
	if err := s.FullRedis(ctx, true); err != nil {
		return err
	}
	pause(ctx, lasts)
	return s.FullRedis(context.WithoutCancel(ctx), false)
}

// FullRedis has Redis take its memory for full, or gives it room again.
func (s *Stack) FullRedis(ctx context.Context, full bool) error {
	most := "0" // no bound
	if full {
		most = "1mb" // less than an empty server takes
	}
	return s.rdb.ConfigSet(ctx, "maxmemory", most).Err()
}

// RewindRedis sets Redis back by the time given, or on a slow machine by as much more as it
// takes until every shard was polled: it comes back as it was then.
func (s *Stack) RewindRedis(by time.Duration) error {
	since := time.Now()
	kept, err := s.copyAppendOnly()
	if err != nil {
		return err
	}
	defer s.lost(since)
	time.Sleep(by)
	s.awaitPolls(since)
	s.Redis.Kill()
	if err := os.RemoveAll(s.appendOnly()); err != nil {
		return err
	}
	if err := os.Rename(kept, s.appendOnly()); err != nil {
		return err
	}
	return s.Redis.Restart()
}

// awaitPolls waits until every shard has been polled since then: what nobody was answered
// in the lost moments nobody can miss.
func (s *Stack) awaitPolls(since time.Time) {
	s.await(func(ctx context.Context, shard string) bool {
		beats, err := s.rdb.HVals(ctx, shard+"beat").Result()
		return err == nil && slices.ContainsFunc(beats, func(b string) bool {
			at, err := strconv.ParseInt(b, 10, 64)
			return err == nil && at >= since.UnixMilli()
		})
	})
}

// AwaitWhole waits until every shard has its data, after a loss.
func (s *Stack) AwaitWhole() {
	s.await(func(ctx context.Context, shard string) bool {
		whole, err := s.rdb.Exists(ctx, shard+"gen").Result()
		if err != nil || whole == 0 {
			return false
		}
		busy, err := s.rdb.Exists(ctx, shard+"rebuild").Result()
		return err == nil && busy == 0
	})
}

// await waits until something holds of each shard, and not for ever.
func (s *Stack) await(holds func(ctx context.Context, shard string) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for shard := 0; shard < operation.Shards && ctx.Err() == nil; {
		if holds(ctx, fmt.Sprintf("wb:{%02d}:", shard)) {
			shard++
			continue
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *Stack) appendOnly() string { return filepath.Join(s.Redis.Dir(), "appendonlydir") }

// copyTries is how often a copy is begun that Redis's own rewriting of its files
// spoils.
const copyTries = 5

// copyAppendOnly copies the files of a running Redis. Their end may be half a
// command, which Redis cuts off when it starts.
func (s *Stack) copyAppendOnly() (string, error) {
	var err error
	for try := range copyTries {
		to := filepath.Join(s.Redis.Dir(), fmt.Sprintf("copy-%d-%d", time.Now().UnixNano(), try))
		before := s.manifest()
		err = os.CopyFS(to, os.DirFS(s.appendOnly()))
		if err == nil && bytes.Equal(before, s.manifest()) {
			return to, nil
		}
		_ = os.RemoveAll(to)
	}
	return "", fmt.Errorf("stack: copy Redis's files: its manifest changes all the time: %w", err)
}

func (s *Stack) manifest() []byte {
	text, _ := os.ReadFile(filepath.Join(s.appendOnly(), "appendonly.aof.manifest"))
	return text
}

// lost notes that what Redis was told from then to now may be gone.
func (s *Stack) lost(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losses = append(s.losses, history.Loss{Since: s.Since(since), Until: s.Since(time.Now())})
}

// Losses gives the losses so far.
func (s *Stack) Losses() []history.Loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]history.Loss(nil), s.losses...)
}

// line is what these tests read of a program's log.
type line struct {
	Message   string `json:"msg"`
	Operation string `json:"operation_id"`
	Shards    int    `json:"shards"`
	Overtaken int    `json:"overtaken"`
}

// Rebuilt gives the number of shards that all programs have said they rebuilt, each
// time anew, and how many writes they ended since a newer one had already gone.
func (s *Stack) Rebuilt() (shards, overtaken int) {
	for _, p := range append(append([]*Process{}, s.APIs...), s.Workers...) {
		p.logged("shards rebuilt", func(l line) { shards, overtaken = shards+l.Shards, overtaken+l.Overtaken })
	}
	return shards, overtaken
}

// untold gives the operations that an api answered although it could not publish
// them then. All but a few of those lines are at level debug.
func (s *Stack) untold() map[string]bool {
	out := map[string]bool{}
	for _, p := range s.APIs {
		p.logged("accepted message not published yet; the outbox will", func(l line) { out[l.Operation] = true })
	}
	return out
}

// logged passes every line of the program's log with that message.
func (p *Process) logged(message string, pass func(line)) {
	file, err := os.Open(p.log)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) == nil && l.Message == message {
			pass(l)
		}
	}
}
