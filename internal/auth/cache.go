package auth

import (
	"container/list"
	"sync"
	"time"
)

// cache remembers verified tokens by hash, the least recently used leaving first.
// An entry counts only for the key version it was verified under, so a key that
// left the issuer's set takes its tokens with it.
type cache struct {
	mu    sync.Mutex
	size  int
	order *list.List // of entry, most recently used in front
	byID  map[[32]byte]*list.Element
}

type entry struct {
	id        [32]byte
	principal Principal
	version   uint64
	until     time.Time
}

func newCache(size int) *cache {
	return &cache{size: size, order: list.New(), byID: make(map[[32]byte]*list.Element)}
}

func (c *cache) get(id [32]byte, version uint64, now time.Time) (Principal, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.byID[id]
	if !ok {
		return Principal{}, false
	}
	e, _ := el.Value.(entry)
	if e.version != version || !now.Before(e.until) {
		c.remove(el)
		return Principal{}, false
	}
	c.order.MoveToFront(el)
	return e.principal, true
}

func (c *cache) put(id [32]byte, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.id = id
	if el, ok := c.byID[id]; ok {
		el.Value = e
		c.order.MoveToFront(el)
		return
	}
	c.byID[id] = c.order.PushFront(e)
	if c.order.Len() > c.size {
		c.remove(c.order.Back())
	}
}

func (c *cache) remove(el *list.Element) {
	e, _ := c.order.Remove(el).(entry)
	delete(c.byID, e.id)
}
