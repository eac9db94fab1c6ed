-- accept: ARGV gen, id, connection, user, partner, doc, life_ms, cap, interval_us,
-- burst, lane_bound, outbox_bound, attempt ('' = async), lease_ms, key scope ('' =
-- none), key fingerprint, key_ms, max_attempts
if stale() then return {'stale'} end
local id, c, user, partner, doc = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local attempt, scope = ARGV[13], ARGV[15]

local known = call('HMGET', op_key(id), 'seq', 'dl')
if known[1] then
  return {'ok', known[1], known[2], call('ZCARD', P .. 'pend:' .. c)}
end
if scope ~= '' then
  local row = call('HMGET', P .. 'key:' .. scope, 'op', 'fingerprint')
  if row[1] then
    if row[2] ~= ARGV[16] then return {'mismatch', row[1]} end
    return {'replay', row[1]}
  end
end
if call('ZCARD', P .. 'pend:' .. c) >= tonumber(ARGV[11]) then return {'full', 'lane'} end
if call('ZCARD', P .. 'outbox') >= tonumber(ARGV[12]) then return {'full', 'outbox'} end

local lane_hash = P .. 'lane:' .. c
set_limits(c, ARGV[8], ARGV[9], ARGV[10])
local l = lane(c)
if attempt ~= '' then
  local first = call('ZRANGE', mail_key(c, user), 0, 0)[1]
  local at = gate(l, call('ZCARD', P .. 'flight:' .. c))
  if first or not at or at > now then
    look(c) -- the limits may be new
    if first then return {'conflict', first} end
    return {'later', at and int(at - now) or '1000'}
  end
end

local seq = math.max(tonumber(call('HGET', lane_hash, 'seq') or 0) + 1, us)
local deadline = now + tonumber(ARGV[7])
put(c, user, partner, id, doc, seq, deadline, ARGV[18], attempt ~= '' and '1' or '0')
if scope ~= '' then
  local key = P .. 'key:' .. scope
  call('HSET', key, 'op', id, 'fingerprint', ARGV[16])
  call('PEXPIRE', key, ARGV[17])
end
if attempt == '' then
  outbox(id, 2000)
  head(c, user)
else
  spend(c, l)
  grant(c, user, id, attempt, tonumber(ARGV[14]))
end
look(c)
return {'ok', int(seq), int(deadline), call('ZCARD', P .. 'pend:' .. c)}
