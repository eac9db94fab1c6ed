package simulator

import "container/list"

// recent is a map that forgets the entries written longest ago, so that their
// costs stay within a bound. Not safe for concurrent use.
type recent[K comparable, V any] struct {
	bound, cost int
	order       *list.List // of *entry[K, V], the oldest in front
	entries     map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	cost  int
}

func newRecent[K comparable, V any](bound int) *recent[K, V] {
	return &recent[K, V]{bound: bound, order: list.New(), entries: map[K]*list.Element{}}
}

func (r *recent[K, V]) get(key K) (V, bool) {
	if e, ok := r.entries[key]; ok {
		if held, ok := e.Value.(*entry[K, V]); ok {
			return held.value, true
		}
	}
	var zero V
	return zero, false
}

// put makes the entry the newest. An entry that alone is over the bound is not
// kept at all.
func (r *recent[K, V]) put(key K, value V, cost int) {
	if e, ok := r.entries[key]; ok {
		r.remove(e)
	}
	r.entries[key] = r.order.PushBack(&entry[K, V]{key: key, value: value, cost: cost})
	r.cost += cost
	for r.cost > r.bound {
		r.remove(r.order.Front())
	}
}

// each calls f for every entry, in no order that means anything.
func (r *recent[K, V]) each(f func(K, V)) {
	for key, e := range r.entries {
		if held, ok := e.Value.(*entry[K, V]); ok {
			f(key, held.value)
		}
	}
}

func (r *recent[K, V]) remove(e *list.Element) {
	if old, ok := r.order.Remove(e).(*entry[K, V]); ok {
		delete(r.entries, old.key)
		r.cost -= old.cost
	}
}
