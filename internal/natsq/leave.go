package natsq

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// What leaves late may tell of what the store has lost since and was filled without; see
// work.RestoreConfig. So a connection is given up with all that lies in it: by the client
// when a write takes too long, by the kernel when the server confirms nothing for as long,
// and here when the process stood still. Whoever published gets no ack, and the outbox
// repeats it if the store still has it.
const (
	// leaveWithin bounds one write, and how long what was written may be on the way.
	leaveWithin = time.Second
	// stillFor is how long a process must do nothing to count as one that stood still, and
	// beatEvery how often it shows that it does not.
	stillFor  = time.Second
	beatEvery = stillFor / 4
)

// errStoodStill says that the process was stopped, or got no processor.
var errStoodStill = errors.New("natsq: the process stood still; what it had not sent may be out of date")

// leaving has a connection send nothing late. The option that bounds a dial comes before it.
func leaving(p *pulse) nats.Option {
	return func(o *nats.Options) error {
		o.FlusherTimeout, o.ReconnectOnFlusherError = leaveWithin, true
		o.CustomDialer = dialer{Dialer: net.Dialer{Timeout: o.Timeout, Control: giveUpUnconfirmed}, pulse: p}
		return nil
	}
}

type dialer struct {
	net.Dialer
	pulse *pulse
}

// Dial opens a connection on which nothing is written any more once the process stood still.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.Dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &timely{Conn: conn, pulse: d.pulse, stops: d.pulse.stops()}, nil
}

type timely struct {
	net.Conn
	pulse *pulse
	stops int64 // of the pulse, when it was opened
}

func (c *timely) Write(p []byte) (int, error) {
	if c.pulse.stops() != c.stops {
		_ = c.Close()
		return 0, errStoodStill
	}
	return c.Conn.Write(p)
}

// pulse counts how often the process stood still. Safe for concurrent use.
type pulse struct {
	began   time.Time
	at      atomic.Int64 // when it was last known to run, since began
	stopped atomic.Int64
}

// beat goes on until the connection is closed.
func (p *pulse) beat(nc *nats.Conn) {
	if nc.IsClosed() {
		return
	}
	p.stops()
	time.AfterFunc(beatEvery, func() { p.beat(nc) })
}

// stops gives how often the process has stood still, up to this moment.
func (p *pulse) stops() int64 {
	now := time.Since(p.began)
	if now-time.Duration(p.at.Load()) > stillFor {
		p.stopped.Add(1) // before the time is set: nobody sees only that
	}
	p.at.Store(int64(now))
	return p.stopped.Load()
}
