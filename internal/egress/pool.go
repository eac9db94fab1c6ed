package egress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// poolWait is how long a call may wait for room. It is well below the time within
// which a call must start: one that could start late is not made at all.
const poolWait = 250 * time.Millisecond

// ErrFull says that a pool had no room for a call; nothing was sent.
var ErrFull = errors.New("egress: too many calls of this process are under way there")

// Pool makes a transport for one counterpart: at most calls calls are under way at a
// time, over at most as many connections. A call holds its place until its answer's
// body is closed. Above the bound a call waits for a moment, at most until its own
// deadline, and then fails with ErrFull.
func (g *Guard) Pool(calls int) http.RoundTripper {
	t := g.Transport()
	t.MaxConnsPerHost = calls
	t.MaxIdleConns = calls
	t.MaxIdleConnsPerHost = min(calls, g.cfg.PerHost)
	return &pool{next: t, room: make(chan struct{}, calls), wait: poolWait}
}

type pool struct {
	next *http.Transport
	room chan struct{}
	wait time.Duration
}

// RoundTrip makes a call when there is room for it.
func (p *pool) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.enter(r.Context()); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	resp, err := p.next.RoundTrip(timely(r))
	if err != nil {
		<-p.room
		return nil, err
	}
	resp.Body = &leaving{ReadCloser: resp.Body, room: p.room}
	return resp, nil
}

// CloseIdleConnections closes what is kept open for later calls.
func (p *pool) CloseIdleConnections() { p.next.CloseIdleConnections() }

func (p *pool) enter(ctx context.Context) error {
	select {
	case p.room <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(p.wait)
	defer timer.Stop()
	select {
	case p.room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ErrFull
	}
}

// leaving gives the place back when the body is closed.
type leaving struct {
	io.ReadCloser
	room chan struct{}
	left atomic.Bool
}

// Close closes the body.
func (l *leaving) Close() error {
	err := l.ReadCloser.Close()
	if l.left.CompareAndSwap(false, true) {
		<-l.room
	}
	return err
}
