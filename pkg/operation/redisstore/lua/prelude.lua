-- Shared by every script. KEYS[1] is the shard's prefix with its hash tag, so
-- all keys derived from it live in one slot. KEYS[2] is given when no lists of
-- operations are kept. ARGV[1] is the caller's generation.
-- Times: us and now are Redis's clock in micro- and milliseconds; scores are ms,
-- except seq, tat and the day index, which are us.
local P, call = KEYS[1], redis.call

local T = call('TIME')
local us = tonumber(T[1]) * 1000000 + tonumber(T[2])
local now = math.floor(us / 1000)

-- Lua numbers would print as 1.79e+15.
local function int(x) return string.format('%.0f', x) end

local function op_key(id) return P .. 'op:' .. id end
local function mail_key(c, user) return P .. 'mail:' .. c .. ':' .. user end

-- caller splits ARGV[1]: the generation that the caller knows, and mostly the process,
-- a number for this question (its mark, 0 for none) and the highest mark of the
-- process that was answered under this generation.
local function caller()
  local gen, process, mark, noted = string.match(ARGV[1], '^(%S+) (%S+) (%d+) (%d+)$')
  return gen or ARGV[1], process, tonumber(mark or 0), tonumber(noted or 0)
end

-- meet notes when a process came here first, also one that never polls; negative, since
-- that is no beat. Each life of a process leaves beat and mark; a new one takes away
-- those of a day ago.
local function meet(process)
  local beats = P .. 'beat'
  if call('HSETNX', beats, process, int(-now)) == 0 then return end
  local all = call('HGETALL', beats)
  for i = 1, #all, 2 do
    if math.abs(tonumber(all[i + 1])) < now - 86400000 then
      call('HDEL', beats, all[i])
      call('HDEL', P .. 'marks', all[i])
    end
  end
end

-- stale says that the caller knows another filling of the shard, or that this one went
-- back: it does not remember what it has answered. Then it is withdrawn.
local function stale()
  local gen, process, mark, noted = caller()
  if call('GET', P .. 'gen') ~= gen then return true end
  if not process then return false end
  local kept = tonumber(call('HGET', P .. 'marks', process) or 0)
  if kept < noted then
    call('DEL', P .. 'gen')
    return true
  end
  if mark > kept then
    call('HSET', P .. 'marks', process, int(mark))
    if kept == 0 then meet(process) end
  end
  return false
end

-- lane reads what the operations of one connection share.
local function lane(c)
  local v = call('HMGET', P .. 'lane:' .. c, 'cap', 'interval', 'burst', 'blocked', 'tat', 'fails', 'open', 'paused')
  return {
    cap = tonumber(v[1] or 8), interval = tonumber(v[2] or 0), burst = tonumber(v[3] or 1),
    blocked = tonumber(v[4] or 0), tat = tonumber(v[5] or 0), fails = tonumber(v[6] or 0),
    open = tonumber(v[7] or 0), paused = v[8] == '1',
  }
end

-- set_limits keeps the lane's limits as the directory has them now.
local function set_limits(c, cap, interval, burst)
  local hash = P .. 'lane:' .. c
  local v = call('HMGET', hash, 'cap', 'interval', 'burst')
  if v[1] ~= cap or v[2] ~= interval or v[3] ~= burst then
    call('HSET', hash, 'cap', cap, 'interval', interval, 'burst', burst)
  end
end

-- gate says from when on the lane may hand out one more call: nil if it has no
-- room or is paused. A lane with an open breaker has room for one probe.
local function gate(l, inflight)
  local cap = l.cap
  if l.open > 0 then cap = 1 end
  if l.paused or inflight >= cap then return nil end
  local at = math.max(l.blocked, l.open, tonumber(call('GET', P .. 'not_before') or 0))
  if l.interval > 0 then
    local free = l.tat - l.interval * (l.burst - 1)
    if free > us then at = math.max(at, math.ceil(free / 1000)) end
  end
  return at
end

-- spend takes one call from the lane's rate (GCRA).
local function spend(c, l)
  if l.interval > 0 then
    l.tat = math.max(l.tat, us) + l.interval
    call('HSET', P .. 'lane:' .. c, 'tat', int(l.tat))
  end
end

-- look sets when somebody must look at the lane next, and nothing else does.
-- It gives that time, or nil when there is nothing to wait for.
local function look(c)
  local flight, best = P .. 'flight:' .. c, nil
  local function candidate(x)
    if x and (not best or x < best) then best = x end
  end
  candidate(tonumber(call('ZRANGE', flight, 0, 0, 'WITHSCORES')[2]))
  candidate(tonumber(call('ZRANGE', P .. 'pend:' .. c, 0, 0, 'WITHSCORES')[2]))
  local ready = tonumber(call('ZRANGE', P .. 'ready:' .. c, 0, 0, 'WITHSCORES')[2])
  if ready then
    local at = gate(lane(c), call('ZCARD', flight))
    if at then candidate(math.max(at, ready)) end
  end
  if not best then
    call('ZREM', P .. 'due', c)
    return nil
  end
  best = math.max(best, now)
  call('ZADD', P .. 'due', int(best), c)
  return best
end

-- head makes the first of a mailbox ready, and only the first, unless one of the
-- mailbox is being called.
local function head(c, user)
  if call('HEXISTS', P .. 'held:' .. c, 'u:' .. user) == 1 then return end
  local first = call('ZRANGE', mail_key(c, user), 0, 1)
  if first[1] then
    call('ZADD', P .. 'ready:' .. c, 'NX', call('HGET', op_key(first[1]), 'nb') or '0', first[1])
  end
  if first[2] then call('ZREM', P .. 'ready:' .. c, first[2]) end
end

local function grant(c, user, id, attempt, lease_ms)
  call('HSET', op_key(id), 'lease', attempt, 'leased_us', int(us))
  call('ZADD', P .. 'flight:' .. c, int(now + lease_ms), id)
  call('ZREM', P .. 'ready:' .. c, id)
  call('HSET', P .. 'held:' .. c, 'a:' .. attempt, id, 'u:' .. user, id)
end

local function drop(c, user, id, attempt)
  call('HDEL', op_key(id), 'lease', 'leased_us')
  call('ZREM', P .. 'flight:' .. c, id)
  call('HDEL', P .. 'held:' .. c, 'a:' .. attempt, 'u:' .. user)
end

local function outbox(id, delay) call('ZADD', P .. 'outbox', int(now + delay), id) end

-- write_row appends a log row, or completes the one with the same id. It gives
-- false when a row that already had its outcome is written again.
local function write_row(id, attempt, row, unknown)
  local key = op_key(id)
  local at = call('HGET', key, 'a:' .. attempt)
  if not at then
    at = int(call('HINCRBY', key, 'rows', 1))
    call('HSET', key, 'a:' .. attempt, at, 'r:' .. at, row)
    if unknown then call('HSET', key, 'unknown:' .. attempt, '1') end
    return true
  end
  -- An unknown outcome adds nothing, and the row stays open for the known one.
  if unknown or call('HDEL', key, 'unknown:' .. attempt) == 0 then return false end
  call('HSET', key, 'r:' .. at, row)
  -- The completed row has to go out again, and acks of its old form must not count.
  local acked = tonumber(call('HGET', key, 'acked_rows') or 0)
  if acked >= tonumber(at) then call('HSET', key, 'acked_rows', int(tonumber(at) - 1)) end
  call('HINCRBY', key, 'row_version', 1)
  return true
end

local function explain(id, row_id, text)
  write_row(id, row_id, '{"id":"' .. row_id .. '","s":' .. int(us) .. ',"e":' .. int(us) ..
    ',"st":"failed","d":"' .. text .. '"}')
end

-- count keeps how many operations of a partner are outstanding in the shard; put and
-- finish alone call it.
local function count(partner, by)
  if KEYS[2] or not partner then return end
  local hash = P .. 'outstanding'
  if call('HINCRBY', hash, partner, by) <= 0 then call('HDEL', hash, partner) end
end

-- finish ends an operation; it is called once, while it is pending and unleased.
local function finish(c, user, id, status, delay)
  local key = op_key(id)
  call('HSET', key, 'st', status, 'upd', int(us))
  call('HDEL', key, 'mark', 'renew', 'nb')
  count(call('HGET', key, 'partner'), -1)
  call('ZREM', P .. 'pend:' .. c, id)
  call('ZREM', P .. 'ready:' .. c, id)
  call('ZREM', mail_key(c, user), id)
  outbox(id, delay)
  head(c, user)
end

local DEADLINE = 'not written: the deadline of the operation passed'
local CANCELLED = 'not written: the operation was cancelled'

-- settle ends an operation whose lease has ended, if a mark says so.
local function settle(c, user, id, mark, row_id, delay)
  if mark == 'success' then
    finish(c, user, id, 'success', delay)
  elseif mark == 'cancel' then
    explain(id, row_id, CANCELLED)
    finish(c, user, id, 'failed', delay)
  elseif mark == 'deadline' then
    explain(id, row_id, DEADLINE)
    finish(c, user, id, 'failed', delay)
  else
    return false
  end
  return true
end

-- put stores a new operation and its place; the caller has checked that it is new.
local function put(c, user, partner, id, doc, seq, deadline, max, sync)
  call('HSET', op_key(id), 'doc', doc, 'seq', int(seq), 'dl', int(deadline), 'st', 'pending',
    'upd', int(us), 'conn', c, 'user', user, 'partner', partner, 'max', max, 'sync', sync)
  if not KEYS[2] then
    local day = P .. 'day:' .. partner .. ':' .. int(math.floor(seq / 86400000000))
    call('ZADD', day, int(seq), id)
    call('EXPIRE', day, 47 * 86400)
  end
  count(partner, 1)
  call('ZADD', mail_key(c, user), int(seq), id)
  call('ZADD', P .. 'pend:' .. c, int(deadline), id)
  local last = tonumber(call('HGET', P .. 'lane:' .. c, 'seq') or 0)
  if seq > last then call('HSET', P .. 'lane:' .. c, 'seq', int(seq)) end
end

-- keep_key puts back which operation an idempotency key stands for, unless it stands
-- for one already.
local function keep_key(scope, fingerprint, life_ms, id)
  if scope == '' or tonumber(life_ms) <= 0 then return end
  local key = P .. 'key:' .. scope
  if call('HSETNX', key, 'op', id) == 0 then return end
  call('HSET', key, 'fingerprint', fingerprint)
  call('PEXPIRE', key, life_ms)
end
