package redisstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // names a version, as Redis names scripts
	"embed"
	"encoding/hex"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

//go:embed lua
var sources embed.FS

// script is one of the steps that Redis takes: the body of a Lua function in lua/,
// which stands above its file.
type script struct {
	name string
	// reads says that it writes nothing, asks that it leaves no mark of the caller, and grows
	// that it is refused while Redis's memory is full. All others go on then: what was accepted
	// is to end, which takes less room than what waits.
	reads, asks, grows bool
}

var (
	acceptScript  = &script{name: "accept", grows: true}
	newScript     = &script{name: "accept_new", grows: true}
	manyScript    = &script{name: "accept_many", grows: true}
	nextScript    = &script{name: "next"}
	recordScript  = &script{name: "record"}
	releaseScript = &script{name: "release"}
	cancelScript  = &script{name: "cancel"}
	ackedScript   = &script{name: "acked", asks: true}
	amendScript   = &script{name: "amend"}
	claimScript   = &script{name: "claim", asks: true}
	getScript     = &script{name: "get", asks: true}
	haveScript    = &script{name: "have", asks: true}
	keyedScript   = &script{name: "keyed", asks: true}
	pollScript    = &script{name: "poll"}
	pauseScript   = &script{name: "pause"}
	spendScript   = &script{name: "spend"}
	blockScript   = &script{name: "block"}
	laneScript    = &script{name: "lane", reads: true}
	depthScript   = &script{name: "depth", reads: true}
	indexScript   = &script{name: "index", reads: true}
	restoreScript = &script{name: "restore", asks: true, grows: true}
	keepScript    = &script{name: "keep", grows: true}
	olderScript   = &script{name: "older", asks: true}
	commitScript  = &script{name: "commit", asks: true}

	scripts = []*script{
		acceptScript, newScript, manyScript, nextScript, recordScript, releaseScript, cancelScript, ackedScript, amendScript, claimScript,
		getScript, haveScript, keyedScript, pollScript, pauseScript, spendScript, blockScript, laneScript, depthScript, indexScript, restoreScript,
		keepScript, olderScript, commitScript,
	}
	parts = []string{"core", "record", "log", "lane", "mail", "put", "reach", "handout", "accept", "gather"}
)

// library is the text that Redis loads. What all scripts share is made once, and not by
// every run: that is most of what a script costs. It has three functions, which take many
// calls in one run: one for all scripts, one for those that may also run while Redis's memory
// is full, and one for those that write nothing.
var (
	libraryName, library = assemble()
	runFunction          = libraryName + "_run"
	fullFunction         = libraryName + "_full"
	readFunction         = libraryName + "_read"
	// alone is the same for a server that knows no functions; each run makes it anew.
	alone = redis.NewScript(body() + "return run(KEYS, ARGV)\n")
)

// libraryPrefix begins the names of the libraries of all versions.
const libraryPrefix = "writeback_"

// body is everything that a run needs.
func body() string {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString(source("parts/" + part))
	}
	b.WriteString("local scripts = {}\n")
	for _, s := range scripts {
		b.WriteString("function scripts." + s.name + "()\n" + source(s.name) + "end\n")
	}
	b.WriteString(source("parts/run"))
	return b.String()
}

// assemble names the library by its text, so that programs of different versions share a
// Redis.
func assemble() (name, code string) {
	all := body()
	sum := sha1.Sum([]byte(all)) //nolint:gosec // see above
	name = libraryPrefix + hex.EncodeToString(sum[:6])
	return name, "#!lua name=" + name + "\n" + all +
		"redis.register_function('" + name + "_run', run)\n" +
		"redis.register_function{function_name='" + name + "_full', callback=run, flags={'allow-oom'}}\n" +
		"redis.register_function{function_name='" + name + "_read', callback=run, flags={'no-writes'}}\n"
}

func source(name string) string {
	b, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is compiled in
	}
	return string(b)
}

// runner runs the library in the way that the server knows. Its zero value calls functions.
type runner struct {
	rdb redis.UniversalClient
	// alone: the server knows no functions.
	alone atomic.Bool
}

// add adds a run to a pipeline.
func (r *runner) add(ctx context.Context, pipe redis.Pipeliner, one *run, args []any) *redis.Cmd {
	switch {
	case r.alone.Load():
		return pipe.EvalSha(ctx, alone.Hash(), one.keys, args...)
	case one.reads:
		return pipe.FCall(ctx, readFunction, one.keys, args...)
	case one.grows:
		return pipe.FCall(ctx, runFunction, one.keys, args...)
	default:
		return pipe.FCall(ctx, fullFunction, one.keys, args...)
	}
}

// unknown says that Redis does not have the scripts: it is new, or another node. Nothing
// was run then.
func unknown(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "NOSCRIPT") || strings.HasPrefix(text, "ERR Function not found") || noFunctions(err)
}

// noFunctions says that there are none for us: the server is older than Redis 7, or
// another that speaks its protocol, or the account may not use them.
func noFunctions(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.HasPrefix(text, "err unknown command") || strings.HasPrefix(text, "noperm")
}

// load puts the library into Redis, or into each node of a cluster; where there are no
// functions, the scripts go into its script cache, which a restart empties.
func (r *runner) load(ctx context.Context) error {
	if !r.alone.Load() {
		err := r.everywhere(ctx, func(ctx context.Context, node redis.Cmdable) error {
			return node.FunctionLoadReplace(ctx, library).Err()
		})
		if err == nil || !noFunctions(err) {
			return err
		}
		r.alone.Store(true)
	}
	return r.everywhere(ctx, func(ctx context.Context, node redis.Cmdable) error { return alone.Load(ctx, node).Err() })
}

// OtherLibraries names the libraries in Redis that are of other versions of these
// scripts. Programs do not delete them, since those of that version may be running still.
func (s *Store) OtherLibraries(ctx context.Context) ([]string, error) {
	all, err := s.rdb.FunctionList(ctx, redis.FunctionListQuery{LibraryNamePattern: libraryPrefix + "*"}).Result()
	var others []string
	for _, l := range all {
		if l.Name != libraryName {
			others = append(others, l.Name)
		}
	}
	return others, err
}

// everywhere does something on each node. One of a cluster that is away is passed over: what
// it lacks is found out when it is back.
func (r *runner) everywhere(ctx context.Context, do func(ctx context.Context, node redis.Cmdable) error) error {
	if cluster, ok := r.rdb.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			err := do(ctx, node)
			if isAway(err) && ctx.Err() == nil {
				return nil
			}
			return err
		})
	}
	return do(ctx, r.rdb)
}
