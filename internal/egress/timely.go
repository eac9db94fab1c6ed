package egress

import (
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
)

// timely gives a request that is not sent once its time is over. A process that was stopped
// in the midst of a call, or a machine that was, goes on with it when it is awoken, and takes note
// of the deadline at the same moment; by then somebody else may have made the call, and a newer
// one after it. So the clock is looked at right before the request goes into the socket. What
// has no body changes nothing, and stays as it is.
func timely(r *http.Request) *http.Request {
	deadline, bounded := r.Context().Deadline()
	if !bounded || r.Body == nil || r.Body == http.NoBody {
		return r
	}
	g := &gate{deadline: deadline}
	return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: g.got, WroteHeaders: g.wrote}))
}

// gate is between a request and its connection.
type gate struct {
	deadline time.Time
	conn     net.Conn
}

func (g *gate) got(info httptrace.GotConnInfo) { g.conn = info.Conn }

// past is over for any connection.
var past = time.Unix(1, 0)

// wrote is called when the header of the request is in the buffer: of HTTP/1.1 nothing has gone
// out, and of HTTP/2 no body, without which it is none. The connection takes nothing more then.
func (g *gate) wrote() {
	if g.conn != nil && !time.Now().Before(g.deadline) {
		_ = g.conn.SetWriteDeadline(past) // one that cannot be set is of a connection that is closed
	}
}
