package directory

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Pause keeps that an operator has paused a connection's calls, or resumed them, for a Redis
// that loses it. It changes nothing for the partner, and no lane: see redisstore.Store.Pause.
// A process of the version before this was kept forgets it with the next change of the connection.
// The error says that there is no such connection, or that nothing can be stored.
func (d *Directory) Pause(ctx context.Context, connection uuid.UUID, paused bool) error {
	_, err := d.change(ctx, connection, func(c *held) (bool, error) {
		if paused == !c.PausedAt.IsZero() {
			return false, nil
		}
		c.PausedAt = time.Time{}
		if paused {
			c.PausedAt = d.now().UTC().Truncate(time.Millisecond)
		}
		return true, nil
	})
	return err
}

// Paused lists the connections whose calls an operator has paused, in no order.
func (d *Directory) Paused() []uuid.UUID {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []uuid.UUID
	for id, c := range d.copy.connections {
		if !c.PausedAt.IsZero() {
			out = append(out, id)
		}
	}
	return out
}
