-- record: ARGV gen, connection, id, attempt, verdict (success|again|renew|fail), row,
-- delay_ms, block_ms, reach (answered|unreached|uncalled), breaker_threshold, breaker_ms, spare row id,
-- resource id and source id of a user it created ('' = none)
if stale() then return {'stale'} end
local c, id, attempt, verdict = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local key = op_key(id)
local v = call('HMGET', key, 'user', 'lease', 'mark', 'st')
local user, status = v[1], v[4]
if not user then return {'missing'} end

local fresh = write_row(id, attempt, ARGV[6])
local held = v[2] == attempt
if ARGV[14] ~= '' then call('HSET', key, 'resource_id', ARGV[13], 'source_id', ARGV[14]) end
if held then
  drop(c, user, id, attempt)
  call('HINCRBY', key, 'attempted', 1)
  call('HDEL', key, 'repeat', 'renew')
end
if fresh then
  call('HSET', key, 'upd', int(us))
  outbox(id, 2000)
  local lane_hash, l = P .. 'lane:' .. c, lane(c)
  local block = tonumber(ARGV[8])
  if block > 0 and now + block > l.blocked then call('HSET', lane_hash, 'blocked', int(now + block)) end
  if ARGV[9] == 'unreached' then
    local fails = call('HINCRBY', lane_hash, 'fails', 1)
    if fails >= tonumber(ARGV[10]) then call('HSET', lane_hash, 'open', int(now + tonumber(ARGV[11]))) end
  elseif ARGV[9] == 'answered' then
    call('HDEL', lane_hash, 'fails', 'open')
  end
end

if held then
  if verdict == 'success' then
    finish(c, user, id, 'success', 2000)
  elseif settle(c, user, id, v[3], ARGV[12], 2000) then
    status = nil
  elseif verdict == 'fail' then
    finish(c, user, id, 'failed', 2000)
  else
    if verdict == 'renew' then call('HSET', key, 'renew', '1') end
    call('HSET', key, 'nb', int(now + tonumber(ARGV[7])))
    head(c, user)
  end
elseif verdict == 'success' and status == 'pending' then
  -- A late success counts: at once if nothing of it is being called, else when
  -- that call's lease ends.
  if v[2] then call('HSET', key, 'mark', 'success') else finish(c, user, id, 'success', 2000) end
end
local due = look(c)
return {'ok', held and 'held' or (fresh and 'late' or 'again'), (due and due <= now) and 1 or 0, call('HGETALL', key),
  call('HGET', P .. 'lane:' .. c, 'blocked') or '0'}
