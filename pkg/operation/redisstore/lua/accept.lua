-- accept: ARGV gen, id, its bytes, connection, user, partner, doc, life_ms, cap, interval_us,
-- burst, lane_bound, outbox_bound, attempt ('' = async), lease_ms, key scope ('' =
-- none), key fingerprint, key_ms, max_attempts
if stale() then return {'stale'} end
local id, bin, c, user, partner, doc = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local attempt, scope = ARGV[14], ARGV[16]

local known = call('HMGET', op_key(id), 'seq', 'dl')
if known[1] then return {'ok', known[1], known[2], call('ZCARD', P .. 'pend:' .. c)} end
if paged(id, bin) then return {'replay', bin} end
if scope ~= '' then
  local row = key_row(scope, tonumber(ARGV[18]))
  if row then return {row.fingerprint == ARGV[17] and 'replay' or 'mismatch', row.op} end
end
local outstanding = call('ZCARD', P .. 'pend:' .. c)
if outstanding >= tonumber(ARGV[12]) then return {'full', 'lane'} end
if call('ZCARD', P .. 'outbox') >= tonumber(ARGV[13]) then return {'full', 'outbox'} end

local l = lane(c)
local changed = set_limits(l, ARGV[9], ARGV[10], ARGV[11])
if attempt ~= '' then
  local first = call('ZRANGE', mail_key(c, user), 0, 1)
  local at = gate(l, call('ZCARD', flight_key(c)))
  if first[1] or not at or at > now then
    save_lane(l)
    look(l) -- the limits may be new
    if first[1] then return {'conflict', first[1] == HELD and first[2] or first[1]} end
    return {'later', at and int(at - now) or '1000'}
  end
end

local seq = math.max(l.seq + 1, us)
local deadline = now + tonumber(ARGV[8])
local o = put(l, user, partner, id, bin, doc, seq, deadline, ARGV[19], attempt ~= '' and '1' or '0')
if scope ~= '' then set_key(scope, ARGV[17], tonumber(ARGV[18]), seq, bin) end
if attempt ~= '' then
  spend(l)
  grant(l, o, attempt, tonumber(ARGV[15]))
  save(o)
  save_lane(l)
  look(l)
else
  outbox(id, 2000)
  save(o)
  save_lane(l)
  -- A new operation only adds needs to those that look has seen: its deadline, and
  -- its turn if it is the first of its user.
  local at = deadline
  if call('ZCARD', mail_key(c, user)) == 1 then
    call('ZADD', P .. 'ready:' .. c, 0, id)
    at = math.min(at, gate(l, call('ZCARD', flight_key(c))) or at)
  end
  if changed then look(l) else call('ZADD', P .. 'due', 'LT', int(math.max(at, now)), c) end
end
return {'ok', int(seq), int(deadline), outstanding + 1}
