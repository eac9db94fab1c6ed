package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"writeback/bench/load"
	"writeback/bench/rig"
)

// traffic makes the writes of one load, and keeps what was answered.
type traffic struct {
	// names are all that is written: Motive refuses the other fields by itself.
	names bool
	sys   *rig.System
	// keyed sends an Idempotency-Key with each.
	keyed bool
	// connections of the fleet that are written to.
	connections []rig.Connection
	// base is the number of the first write, for the provider.
	base int
	// ids of the operations, by the number of the write.
	ids    []uuid.UUID
	bearer []byte
}

func newTraffic(sys *rig.System, n int) *traffic {
	return &traffic{sys: sys, connections: sys.Fleet.Alive(), ids: make([]uuid.UUID, n), bearer: []byte("Bearer " + sys.Token)}
}

// The values vary, as those of people do.
var (
	firstNames = []string{"Dana", "Ana María", "Jo", "Bartholomew", "Li", "Seán", "Nkechi", "Wojciech", "Priya", "Mohammed", "Ingrid", "Tom"}
	lastNames  = []string{"Whitfield", "Ng", "García-Fernández", "O'Brien", "Vanderbilt", "Szczepański", "Okonkwo", "Li", "Schwarzenbach"}
	regions    = []string{"CA", "TX", "OH", "ON", "NY", "FL", "IL"}
	remarks    = []string{
		"back from leave", "moved to the night shift at the northern yard, badge to be reissued", "new licence after renewal",
		"see ticket of the depot; contact by radio only until the phone has been replaced", "ok",
	}
)

// connection gives the connection and the user of the i-th write.
func (t *traffic) target(i int) (rig.Connection, rig.User) {
	c := t.connections[i%len(t.connections)]
	return c, c.Users[i/len(t.connections)%len(c.Users)]
}

// shot fills the i-th write.
func (t *traffic) shot(i int, r *fasthttp.Request) {
	c, u := t.target(i)
	h := &r.Header
	h.SetMethod(fasthttp.MethodPatch)
	h.SetHost(t.sys.Addr)
	h.SetRequestURI("/v2/telematics/users/" + u.ID)
	h.SetContentType("application/json")
	h.SetBytesV("Authorization", t.bearer)
	if t.keyed {
		h.Set("Idempotency-Key", t.key(i, u))
	}
	r.SetBodyRaw(t.body(nil, i, c.ID))
}

func (t *traffic) key(i int, u rig.User) string {
	return fmt.Sprintf("sync-%s-%d", u.ID[24:], t.base+i)
}

// body appends the i-th write's body.
func (t *traffic) body(b []byte, i int, connection string) []byte {
	b = append(b, `{"connection_id":"`...)
	b = append(b, connection...)
	b = append(b, `",`...)
	b = t.changes(b, i)
	return append(b, '}')
}

func (t *traffic) changes(b []byte, i int) []byte {
	n := t.base + i
	b = append(b, `"first_name":"`...)
	b = append(b, firstNames[n%len(firstNames)]...)
	b = append(b, `","last_name":"`...)
	b = append(b, lastNames[n%len(lastNames)]...)
	if t.names {
		return append(b, '"')
	}
	b = append(b, `","license_number":"D`...)
	b = strconv.AppendInt(b, int64(1_000_003*(n%97)+n), 10)
	b = append(b, `","license_region":"`...)
	b = append(b, regions[n%len(regions)]...)
	b = append(b, `","notes":"#`...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, ' ')
	b = append(b, remarks[n%len(remarks)]...)
	return append(b, '"')
}

// seen keeps the id of an accepted operation; any other answer is an error.
func (t *traffic) seen(i int, r *fasthttp.Response) error {
	if r.StatusCode() != fasthttp.StatusAccepted {
		return fmt.Errorf("answered %d: %.300s", r.StatusCode(), r.Body())
	}
	id, err := idOf(r.Body())
	t.ids[i] = id
	return err
}

var idKey = []byte(`"id":"`)

func idOf(body []byte) (uuid.UUID, error) {
	at := bytes.Index(body, idKey)
	if at < 0 || len(body) < at+len(idKey)+36 {
		return uuid.Nil, fmt.Errorf("an answer without an id: %.200s", body)
	}
	return uuid.ParseBytes(body[at+len(idKey) : at+len(idKey)+36])
}

// closed sends them all over the connections of the client.
func (t *traffic) closed(ctx context.Context, c *load.Client) (load.Result, error) {
	return c.Closed(ctx, len(t.ids), t.shot, t.seen)
}

// open sends them at a rate.
func (t *traffic) open(ctx context.Context, c *load.Client, rate float64) (load.Result, error) {
	return c.Open(ctx, len(t.ids), rate, t.shot, t.seen)
}

// status reads the i-th operation.
func (t *traffic) status(c *load.Client, i int) (string, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	t.read(i, req)
	if err := c.Do(req, resp); err != nil {
		return "", err
	}
	if resp.StatusCode() != fasthttp.StatusOK {
		return "", fmt.Errorf("read of an operation: %d: %.300s", resp.StatusCode(), resp.Body())
	}
	for _, status := range []string{"pending", "success", "failed"} {
		if bytes.Contains(resp.Body(), []byte(`"status":"`+status+`","payload"`)) {
			return status, nil
		}
	}
	return "", fmt.Errorf("an operation without a status: %.300s", resp.Body())
}

// read fills the request that reads the i-th operation.
func (t *traffic) read(i int, r *fasthttp.Request) {
	conn, _ := t.target(i)
	r.Header.SetHost(t.sys.Addr)
	r.Header.SetRequestURI("/v2/integrations/connections/" + conn.ID + "/resource-operations/" + t.ids[i].String())
	r.Header.SetBytesV("Authorization", t.bearer)
}

// checked is how many operations are read at an end: spread over all, and the last.
const checked = 200

// ended waits until the provider has answered all writes with success, and until
// the operations that are looked at say so; it gives the time of that.
func (t *traffic) ended(ctx context.Context, r *rig.Rig, c *load.Client) (time.Time, error) {
	if err := awaitCount(ctx, r, len(t.ids)); err != nil {
		return time.Time{}, err
	}
	n := len(t.ids)
	for k := range min(checked, n) {
		i := n - 1 - k
		if k >= checked/2 {
			i = k * n / checked
		}
		for {
			status, err := t.status(c, i)
			if err != nil {
				return time.Time{}, err
			}
			if status == "success" {
				break
			}
			if status == "failed" {
				return time.Time{}, fmt.Errorf("operation %s failed", t.ids[i])
			}
			if err := pause(ctx, time.Millisecond); err != nil {
				return time.Time{}, err
			}
		}
	}
	return time.Now(), nil
}

// stalled is how long nothing may happen at the provider before we give up.
const stalled = 30 * time.Second

// awaitCount waits for n successful answers of the provider.
func awaitCount(ctx context.Context, r *rig.Rig, n int) error {
	last, moved := 0, time.Now()
	for {
		_, ended, err := r.Provider.Count()
		if err != nil || ended >= n {
			return err
		}
		if ended != last {
			last, moved = ended, time.Now()
		} else if time.Since(moved) > stalled {
			return fmt.Errorf("nothing has ended for %s: %d of %d", stalled, ended, n)
		}
		if err := pause(ctx, 3*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return errors.Join(ctx.Err(), context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}
