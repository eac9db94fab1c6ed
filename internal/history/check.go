package history

// Check holds the history against the promises that can be seen from outside: P1
// (nothing lost), P2 (every call logged, none repeated), P3 (order), P5 (limits),
// P7 (ends are final) and P10 (what the streams know is known). It changes nothing in h.
func Check(h History) Report {
	r := Report{}
	x := newIndex(h, &r)
	x.count()
	x.checkEnds()
	x.checkLog()
	x.checkRepeats()
	x.checkOrder()
	x.checkOverlap()
	x.checkEarly()
	x.checkInFlight()
	x.checkRate()
	x.checkFinal()
	x.checkRestored()
	return r
}

func (x *index) count() {
	c := &x.report.Counts
	c.Requests, c.Operations, c.Calls, c.Events = len(x.Requests), len(x.Operations), len(x.Calls), len(x.Events)
	for _, r := range x.Requests {
		switch {
		case r.accepted():
			c.Accepted++
		case r.open():
			c.Unanswered++
		default:
			c.Refused++
		}
	}
	for _, op := range x.Operations {
		c.Rows += len(op.Rows)
		switch op.Status {
		case Success:
			c.Succeeded++
		case Failed:
			c.Failed++
		}
	}
	for _, e := range x.ofOp {
		if len(e) > 1 {
			c.CalledAgain++
		}
	}
}
