package registry

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// turns let those of this process who change the same subscription do it one after the
// other, so that only other processes can write in between. The zero value is ready.
type turns struct {
	mu sync.Mutex
	of map[uuid.UUID]*turn
}

type turn struct {
	held chan struct{} // has room while nobody holds it
	// wanted is how many hold it or wait for it.
	wanted int
}

// take waits for the turn, or for the end of ctx. Whoever got it gives it back by done.
func (t *turns) take(ctx context.Context, id uuid.UUID) (done func(), err error) {
	one := t.want(id)
	select {
	case one.held <- struct{}{}:
		return func() { <-one.held; t.leave(id) }, nil
	case <-ctx.Done():
		t.leave(id)
		return nil, context.Cause(ctx)
	}
}

func (t *turns) want(id uuid.UUID) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.of[id]
	if !ok {
		one = &turn{held: make(chan struct{}, 1)}
		if t.of == nil {
			t.of = map[uuid.UUID]*turn{}
		}
		t.of[id] = one
	}
	one.wanted++
	return one
}

func (t *turns) leave(id uuid.UUID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[id].wanted--; t.of[id].wanted == 0 {
		delete(t.of, id)
	}
}
