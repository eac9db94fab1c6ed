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

// script is one script: a function of the library, and a script of its own where the
// server knows no functions.
type script struct {
	name string
	// parts that it uses. The library has all of them; a script of its own has only
	// these, since each call has to make what it holds.
	parts string
	// reads says that it writes nothing, and asks that it leaves no mark of the caller.
	reads, asks bool
	alone       *redis.Script
	// function is its name in Redis. It holds the hash of the library, so that
	// programs of different versions share a Redis.
	function string
}

// The scripts. Each is the body of a Lua function in lua/, above the parts.
var (
	acceptScript  = &script{name: "accept", parts: "core record log lane mail put accept"}
	manyScript    = &script{name: "accept_many", parts: "core record log lane mail put accept gather"}
	nextScript    = &script{name: "next", parts: "core record log lane mail put handout"}
	recordScript  = &script{name: "record", parts: "core record log lane mail reach handout"}
	releaseScript = &script{name: "release", parts: "core record log lane mail"}
	cancelScript  = &script{name: "cancel", parts: "core record log lane mail"}
	ackedScript   = &script{name: "acked", parts: "core record"}
	amendScript   = &script{name: "amend", parts: "core record lane reach"}
	claimScript   = &script{name: "claim", parts: "core record"}
	getScript     = &script{name: "get", parts: "core record log lane mail", asks: true}
	haveScript    = &script{name: "have", parts: "core record", asks: true}
	pollScript    = &script{name: "poll", parts: "core"}
	pauseScript   = &script{name: "pause", parts: "core lane"}
	spendScript   = &script{name: "spend", parts: "core lane"}
	blockScript   = &script{name: "block", parts: "core lane"}
	laneScript    = &script{name: "lane", parts: "core record lane", reads: true}
	depthScript   = &script{name: "depth", parts: "core record lane", reads: true}
	indexScript   = &script{name: "index", parts: "core record log lane mail put", reads: true}
	restoreScript = &script{name: "restore", parts: "core record log lane mail put"}
	keepScript    = &script{name: "keep", parts: "core record log lane mail put"}
	olderScript   = &script{name: "older", parts: "core record log lane mail"}
	commitScript  = &script{name: "commit", parts: "core lane"}

	scripts = []*script{
		acceptScript, manyScript, nextScript, recordScript, releaseScript, cancelScript, ackedScript, amendScript, claimScript,
		getScript, haveScript, pollScript, pauseScript, spendScript, blockScript, laneScript, depthScript, indexScript, restoreScript,
		keepScript, olderScript, commitScript,
	}
	parts = []string{"core", "record", "log", "lane", "mail", "put", "reach", "handout", "accept", "gather"}
)

// library is the text that Redis loads. What all scripts share is made once, and not by
// every call: that is most of what a script costs.
var libraryName, library = assemble()

// libraryPrefix begins the names of the libraries of all versions.
const libraryPrefix = "writeback_"

func assemble() (name, code string) {
	var shared, text strings.Builder
	for _, part := range parts {
		shared.WriteString(source("parts/" + part))
	}
	for _, s := range scripts {
		shared.WriteString(s.body())
	}
	sum := sha1.Sum([]byte(shared.String())) //nolint:gosec // see above
	name = libraryPrefix + hex.EncodeToString(sum[:6])
	text.WriteString("#!lua name=" + name + "\n" + shared.String())
	for _, s := range scripts {
		s.function = name + "_" + s.name
		flags := ""
		if s.reads {
			flags = ", flags={'no-writes'}"
		}
		text.WriteString("redis.register_function{function_name='" + s.function + "', callback=function(keys, argv) enter(keys, argv) return run_" +
			s.name + "() end" + flags + "}\n")
		s.alone = redis.NewScript(s.byItself())
	}
	return name, text.String()
}

// body is the function of a script.
func (s *script) body() string {
	return "local function run_" + s.name + "()\n" + source(s.name) + "end\n"
}

// byItself is the text of a script where there are no functions.
func (s *script) byItself() string {
	var text strings.Builder
	for part := range strings.FieldsSeq(s.parts) {
		text.WriteString(source("parts/" + part))
	}
	return text.String() + s.body() + "enter(KEYS, ARGV)\nreturn run_" + s.name + "()\n"
}

func source(name string) string {
	b, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is compiled in
	}
	return string(b)
}

// runner calls scripts in the way that the server knows. Its zero value calls functions.
type runner struct {
	rdb redis.UniversalClient
	// alone: the server knows no functions.
	alone atomic.Bool
}

// call adds a call to a pipeline.
func (r *runner) call(ctx context.Context, pipe redis.Pipeliner, s *script, keys []string, args ...any) *redis.Cmd {
	if r.alone.Load() {
		return pipe.EvalSha(ctx, s.alone.Hash(), keys, args...)
	}
	return pipe.FCall(ctx, s.function, keys, args...)
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
	for _, s := range scripts {
		if err := s.alone.Load(ctx, r.rdb).Err(); err != nil {
			return err
		}
	}
	return nil
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

func (r *runner) everywhere(ctx context.Context, do func(ctx context.Context, node redis.Cmdable) error) error {
	if cluster, ok := r.rdb.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return do(ctx, node) })
	}
	return do(ctx, r.rdb)
}
