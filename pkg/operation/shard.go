package operation

import (
	"hash/fnv"

	"github.com/google/uuid"
)

// Shards is how many parts the state is divided into. All state of one
// connection is in one part. Changing it needs a rebuild of everything.
const Shards = 64

// ShardOf gives the part that holds a connection's state, 0 to Shards-1.
func ShardOf(connection uuid.UUID) int {
	h := fnv.New32a()
	_, _ = h.Write(connection[:])
	return int(h.Sum32() % Shards)
}
