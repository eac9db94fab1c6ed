package devstack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const loopback = "127.0.0.1"

// nats takes the given NATS or starts one in this process, its streams in the
// data folder.
func (s *Stack) nats(ctx context.Context, o Options) error {
	if o.NATSURL != "" {
		s.urls.NATS = o.NATSURL
		return nil
	}
	ns, err := server.NewServer(&server.Options{
		ServerName: "writeback-dev", Host: loopback, Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: filepath.Join(s.dir, "nats"),
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	ns.Start()
	s.parts.after(func(context.Context) error {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil
	})
	wait := 10 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline)
	}
	if !ns.ReadyForConnections(wait) {
		return errors.New("nats: the embedded server was not ready in time")
	}
	if !ns.JetStreamEnabled() {
		return errors.New("nats: the embedded server could not start JetStream")
	}
	s.urls.NATS = ns.ClientURL()
	return nil
}
