package doctor

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"writeback/internal/redisurl"
)

// sentinelPatience is for one Sentinel: the primary has to be looked at too.
const sentinelPatience = time.Second

// lookAtSentinels asks each Sentinel of the address, if it names any: the client says only
// that none of them was of use.
func lookAtSentinels(ctx context.Context, r *report, s settings) {
	const check = "redis sentinels"
	o, err := redisurl.For(s.RedisURL, s.RedisOptions(clientName, true))
	if err != nil || o.MasterName == "" {
		return
	}
	healthy, primary := 0, ""
	for _, addr := range o.Addrs {
		host, port, _ := net.SplitHostPort(addr)
		cli := "`redis-cli -h " + host + " -p " + port + " sentinel "
		found, err := askSentinel(ctx, o, addr)
		switch {
		case errors.Is(err, redis.Nil):
			r.fail(check, "correct the name in WRITEBACK_REDIS_URL: "+cli+"masters` has those that it watches", "%s watches no primary of the name %q", addr, o.MasterName)
		case refused(err) && strings.HasPrefix(err.Error(), "NOPERM"):
			r.fail(check, "let sentinel_username do there what the error names; docs/operations.md has all that it needs (`ACL SETUSER`)", "%s refuses us: %s", addr, err)
		case err != nil && found != "": // it answered what it needs for a failover
			r.warn(check, "start the others again: "+cli+"sentinels "+o.MasterName+"`", "%s could lead no failover: %s", addr, err)
		case refused(err):
			r.fail(check, "give WRITEBACK_REDIS_URL the addresses of Sentinels, and sentinel_username and sentinel_password where they want them", "%s refuses us: %s", addr, err)
		case err != nil && whyNoTLS(err) != "":
			r.fail(check, whyNoTLS(err), "%s: %s", addr, err)
		case errors.Is(err, context.DeadlineExceeded):
			r.warn(check, "see whether it is stopped or hangs, and whether it speaks TLS as WRITEBACK_REDIS_URL says (`rediss`)", "%s does not answer: %s", addr, err)
		case err != nil:
			r.warn(check, "start it: without most of them there is no failover", "%s does not answer: %s", addr, err)
		default:
			healthy, primary = healthy+1, found
		}
	}
	if healthy == len(o.Addrs) {
		r.ok(check, "all %d agree to a failover; the primary is %s", healthy, primary)
	}
}

// askSentinel gives the primary that a Sentinel names, and what hinders a failover.
func askSentinel(ctx context.Context, o *redis.UniversalOptions, addr string) (primary string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sentinelPatience)
	defer cancel()
	s := redis.NewSentinelClient(&redis.Options{
		Addr: addr, Username: o.SentinelUsername, Password: o.SentinelPassword, TLSConfig: o.TLSConfig,
		Protocol: 2, DialerRetries: 1, MaxRetries: -1, ContextTimeoutEnabled: true, DisableIdentity: true, // as redisurl.For
	})
	defer func() { _ = s.Close() }()
	at, err := s.GetMasterAddrByName(ctx, o.MasterName).Result()
	if err != nil {
		return "", err
	}
	return strings.Join(at, ":"), s.CkQuorum(ctx, o.MasterName).Err()
}
