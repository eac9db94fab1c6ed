package directory

// StatusLocked is what Tally calls a connection whose credentials this process cannot
// open, whatever its status is.
const StatusLocked = "locked"

// tallied are the statuses that Tally counts, beside StatusLocked.
var tallied = []ConnectionStatus{ConnectionActive, ConnectionFailed, ConnectionCancelled, ConnectionPaused, ConnectionStale}

// Tally counts every partner's connections by provider and status, deleted ones not. Of
// a provider that has any, each status is there, with 0 too.
func (d *Directory) Tally() map[string]map[string]int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := map[string]map[string]int{}
	for _, c := range d.copy.connections {
		if c.Status == ConnectionDeleted {
			continue
		}
		by := out[c.Provider]
		if by == nil {
			by = map[string]int{StatusLocked: 0}
			for _, s := range tallied {
				by[string(s)] = 0
			}
			out[c.Provider] = by
		}
		if c.Locked {
			by[StatusLocked]++
		} else {
			by[string(c.Status)]++
		}
	}
	return out
}
