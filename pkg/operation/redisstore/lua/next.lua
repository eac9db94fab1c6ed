-- next: ARGV gen, connection, lease_ms, breaker_ms, cap, interval_us, burst, n, n attempt ids, m, m row ids,
-- then optionally a message: id, user, partner, doc, seq, deadline, max_attempts, key scope ('' = none),
-- key fingerprint, key_ms
if stale() then return {'stale'} end
local c, lease_ms, breaker_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local i = 8
local function list()
  local n, out = tonumber(ARGV[i]), {}
  for k = 1, n do out[k] = ARGV[i + k] end
  i = i + n + 1
  return out
end
local attempts, spare = list(), list()
local healed, expired, ended = 0, 0, 0
set_limits(c, ARGV[5], ARGV[6], ARGV[7])

-- A message whose record is gone puts it back; it never overwrites one.
if ARGV[i] and call('EXISTS', op_key(ARGV[i])) == 0 then
  put(c, ARGV[i + 1], ARGV[i + 2], ARGV[i], ARGV[i + 3], tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5]), ARGV[i + 6], '0')
  call('HSET', op_key(ARGV[i]), 'acked_accepted', '1')
  keep_key(ARGV[i + 7], ARGV[i + 8], ARGV[i + 9], ARGV[i])
  head(c, ARGV[i + 1])
  healed = 1
end

-- Leases that ran out: the outcome is unknown, and counts as an attempt.
local flight = P .. 'flight:' .. c
for _, id in ipairs(call('ZRANGEBYSCORE', flight, '-inf', int(now), 'LIMIT', 0, #spare)) do
  local key = op_key(id)
  local v = call('HMGET', key, 'user', 'lease', 'leased_us', 'mark', 'sync', 'dl', 'max')
  local user, attempt = v[1], v[2]
  if not attempt then
    call('ZREM', flight, id)
  else
    local row_id = table.remove(spare)
    write_row(id, attempt, '{"id":"' .. attempt .. '","s":' .. v[3] .. ',"e":' .. int(us) ..
      ',"st":"failed","t":"network","u":true,"d":"the outcome of this call is unknown: it was not recorded in time"}', true)
    drop(c, user, id, attempt)
    local made = call('HINCRBY', key, 'attempted', 1)
    call('HSET', key, 'upd', int(us), 'repeat', '1')
    outbox(id, 0)
    expired = expired + 1
    local l = lane(c)
    if l.open > 0 then call('HSET', P .. 'lane:' .. c, 'open', int(now + breaker_ms)) end
    if settle(c, user, id, v[4], row_id, 0) then
      ended = ended + 1
    elseif v[5] == '1' then
      finish(c, user, id, 'failed', 0)
      ended = ended + 1
    elseif made >= tonumber(v[7]) then
      explain(id, row_id, 'gave up after attempt ' .. int(made))
      finish(c, user, id, 'failed', 0)
      ended = ended + 1
    else
      head(c, user)
    end
  end
end

-- Deadlines: one that is being called is marked, and looked at when its lease ends.
local pend = P .. 'pend:' .. c
for _, id in ipairs(call('ZRANGEBYSCORE', pend, '-inf', int(now), 'LIMIT', 0, #spare)) do
  local v = call('HMGET', op_key(id), 'user', 'lease')
  if not v[1] then
    call('ZREM', pend, id)
  elseif v[2] then
    call('HSETNX', op_key(id), 'mark', 'deadline')
    call('ZADD', pend, call('ZSCORE', flight, id) or int(now + lease_ms), id)
  else
    explain(id, table.remove(spare), DEADLINE)
    finish(c, v[1], id, 'failed', 0)
    ended = ended + 1
  end
end

local leases = {}
local function hand(id, attempt)
  local v = call('HMGET', op_key(id), 'doc', 'seq', 'dl', 'attempted', 'renew', 'repeat')
  leases[#leases + 1] = {id, attempt, v[1], v[2], v[3], int(tonumber(v[3]) - now), v[4] or '0', v[5] or '0', v[6] or '0'}
end

-- The same ids twice are the same hand-out: the first reply was lost.
local free, held = {}, P .. 'held:' .. c
for _, attempt in ipairs(attempts) do
  local id = call('HGET', held, 'a:' .. attempt)
  if id then hand(id, attempt) else free[#free + 1] = attempt end
end

local inflight, l = call('ZCARD', flight), lane(c)
if #free > 0 then
  local ready = P .. 'ready:' .. c
  for _, id in ipairs(call('ZRANGEBYSCORE', ready, '-inf', int(now), 'LIMIT', 0, #free)) do
    local at = gate(l, inflight)
    if not at or at > now then break end
    local user = call('HGET', op_key(id), 'user')
    if user then
      spend(c, l)
      local attempt = table.remove(free)
      grant(c, user, id, attempt, lease_ms)
      inflight = inflight + 1
      hand(id, attempt)
    else
      call('ZREM', ready, id)
    end
  end
end
local due = look(c)
return {'ok', (due and due <= now) and 1 or 0, healed, expired, ended, leases}
