package tsp

import (
	"fmt"
	"slices"
)

// Registry finds a provider by its contract name. It is fixed once made and safe
// for concurrent use.
type Registry struct{ byName map[string]Provider }

// NewRegistry makes a registry; a name given twice is an error.
func NewRegistry(providers ...Provider) (*Registry, error) {
	r := &Registry{byName: make(map[string]Provider, len(providers))}
	for _, p := range providers {
		name := p.Describe().Name
		if _, taken := r.byName[name]; taken {
			return nil, fmt.Errorf("tsp: provider %q is registered twice", name)
		}
		r.byName[name] = p
	}
	return r, nil
}

// Get gives the provider of a name and whether there is one.
func (r *Registry) Get(name string) (Provider, bool) {
	p, ok := r.byName[name]
	return p, ok
}

// Names lists the registered names, sorted.
func (r *Registry) Names() []string {
	names := make([]string, 0, len(r.byName))
	for name := range r.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
