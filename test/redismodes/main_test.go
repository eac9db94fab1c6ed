// Package redismodes takes the store and the programs over a real Redis Cluster, and
// through a real failover by Sentinel.
package redismodes

import "time"

const (
	within = 60 * time.Second
	every  = 20 * time.Millisecond
)
