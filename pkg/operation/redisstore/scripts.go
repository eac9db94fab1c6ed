package redisstore

import (
	"context"
	"embed"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua
var sources embed.FS

// script puts a script together from the parts that it uses: each part that a call
// compiles away costs time.
func script(name string, parts ...string) *redis.Script {
	var text strings.Builder
	for _, part := range parts {
		text.WriteString(source("parts/" + part))
	}
	text.WriteString(source(name))
	return redis.NewScript(text.String())
}

func source(name string) string {
	b, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is compiled in
	}
	return string(b)
}

var (
	acceptScript  = script("accept", "core", "record", "log", "lane", "mail", "put", "accept")
	manyScript    = script("accept_many", "core", "record", "log", "lane", "mail", "put", "accept", "gather")
	nextScript    = script("next", "core", "record", "log", "lane", "mail", "put", "handout")
	recordScript  = script("record", "core", "record", "log", "lane", "mail", "reach", "handout")
	releaseScript = script("release", "core", "record", "log", "lane", "mail")
	cancelScript  = script("cancel", "core", "record", "log", "lane", "mail")
	ackedScript   = script("acked", "core", "record")
	amendScript   = script("amend", "core", "record", "lane", "reach")
	claimScript   = script("claim", "core", "record")
	getScript     = script("get", "core", "record", "log", "lane", "mail")
	pollScript    = script("poll", "core")
	pauseScript   = script("pause", "core", "lane")
	spendScript   = script("spend", "core", "lane")
	blockScript   = script("block", "core", "lane")
	laneScript    = script("lane", "core", "record", "lane")
	depthScript   = script("depth", "core", "lane")
	indexScript   = script("index", "core", "record", "log", "lane", "mail", "put")
	restoreScript = script("restore", "core", "record", "log", "lane", "mail", "put")
	keepScript    = script("keep", "core", "record", "log", "lane", "mail", "put")
	olderScript   = script("older", "core", "record", "log", "lane", "mail")
	commitScript  = script("commit", "core", "lane")
)

// load puts the scripts that are run in pipelines into Redis's script cache; a
// restarted Redis has forgotten them.
func (s *Store) load(ctx context.Context) error {
	for _, script := range []*redis.Script{
		acceptScript, manyScript, nextScript, recordScript, releaseScript, cancelScript, ackedScript, amendScript, claimScript,
		getScript, pollScript, pauseScript, spendScript, blockScript, depthScript, indexScript, keepScript, restoreScript,
	} {
		if err := script.Load(ctx, s.rdb).Err(); err != nil {
			return err
		}
	}
	return nil
}
