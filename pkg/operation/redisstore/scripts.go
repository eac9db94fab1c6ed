package redisstore

import (
	"context"
	_ "embed" // the scripts

	"github.com/redis/go-redis/v9"
)

//go:embed lua/prelude.lua
var prelude string

var (
	//go:embed lua/accept.lua
	acceptSource string
	//go:embed lua/next.lua
	nextSource string
	//go:embed lua/release.lua
	releaseSource string
	//go:embed lua/record.lua
	recordSource string
	//go:embed lua/acked.lua
	ackedSource string
	//go:embed lua/claim.lua
	claimSource string
	//go:embed lua/poll.lua
	pollSource string
	//go:embed lua/get.lua
	getSource string
	//go:embed lua/cancel.lua
	cancelSource string
	//go:embed lua/pause.lua
	pauseSource string
	//go:embed lua/restore.lua
	restoreSource string
	//go:embed lua/spend.lua
	spendSource string
	//go:embed lua/older.lua
	olderSource string
	//go:embed lua/commit.lua
	commitSource string
)

var (
	acceptScript  = redis.NewScript(prelude + acceptSource)
	nextScript    = redis.NewScript(prelude + nextSource)
	releaseScript = redis.NewScript(prelude + releaseSource)
	recordScript  = redis.NewScript(prelude + recordSource)
	ackedScript   = redis.NewScript(prelude + ackedSource)
	claimScript   = redis.NewScript(prelude + claimSource)
	pollScript    = redis.NewScript(prelude + pollSource)
	getScript     = redis.NewScript(prelude + getSource)
	cancelScript  = redis.NewScript(prelude + cancelSource)
	pauseScript   = redis.NewScript(prelude + pauseSource)
	spendScript   = redis.NewScript(prelude + spendSource)
	restoreScript = redis.NewScript(prelude + restoreSource)
	olderScript   = redis.NewScript(prelude + olderSource)
	commitScript  = redis.NewScript(prelude + commitSource)
)

// load puts the scripts that are run in pipelines into Redis's script cache; a
// restarted Redis has forgotten them.
func (s *Store) load(ctx context.Context) error {
	for _, script := range []*redis.Script{pollScript, claimScript, ackedScript, restoreScript, depthScript} {
		if err := script.Load(ctx, s.rdb).Err(); err != nil {
			return err
		}
	}
	return nil
}
