package testenv

import (
	"context"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// Still is a hook of a Redis client whose process stands still when an answer has come. Its
// zero value is ready, and it is safe for concurrent use.
type Still struct{ during atomic.Pointer[func()] }

// Next has during happen once, after the next answer to a pipeline and before anybody sees it.
func (s *Still) Next(during func()) { s.during.Store(&during) }

// DialHook changes nothing.
func (*Still) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook changes nothing.
func (*Still) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook holds an answer back.
func (s *Still) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if during := s.during.Swap(nil); during != nil {
			(*during)()
		}
		return err
	}
}
