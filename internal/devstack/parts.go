package devstack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// parts are what has been started, in order, with the way to end each.
type parts struct {
	// life is what the parts' contexts come from; it never ends.
	life   context.Context
	failed chan error

	mu     sync.Mutex
	enders []func(context.Context) error
}

func newParts(ctx context.Context) *parts {
	return &parts{life: context.WithoutCancel(ctx), failed: make(chan error, 1)}
}

// after notes what ends the thing just started.
func (p *parts) after(end func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enders = append(p.enders, end)
}

// run starts a part that works until its context ends. One that ends before is a
// failure of the stack.
func (p *parts) run(name string, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(p.life)
	done := make(chan error, 1)
	go func() {
		err := part(ctx)
		if ctx.Err() == nil {
			p.fail(name, err)
		}
		done <- err
	}()
	p.after(func(stop context.Context) error {
		cancel()
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		case <-stop.Done():
			return fmt.Errorf("%s: %w", name, context.Cause(stop))
		}
	})
}

// fail tells the first failure.
func (p *parts) fail(name string, err error) {
	if err == nil {
		err = errors.New("ended by itself")
	}
	select {
	case p.failed <- fmt.Errorf("devstack: %s: %w", name, err):
	default:
	}
}

// stop ends the parts, the last first.
func (p *parts) stop(ctx context.Context) error {
	p.mu.Lock()
	enders := p.enders
	p.enders = nil
	p.mu.Unlock()
	var errs []error
	for _, end := range slices.Backward(enders) {
		errs = append(errs, end(ctx))
	}
	return errors.Join(errs...)
}
