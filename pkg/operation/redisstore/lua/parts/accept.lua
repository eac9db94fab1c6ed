-- size and leave touch what operations share; gather puts others in their place.
local function size(key) return call('ZCARD', key) end

-- leave writes the lane and when it is due.
local function leave(l)
  save_lane(l)
  if l.changed then
    look(l) -- the limits may be new
  elseif l.at then
    call('ZADD', P .. 'due', 'LT', int(math.max(l.at, now)), l.c)
  end
end

-- accept_one takes in the operation whose arguments begin at the given place in ARGV: id, its
-- bytes, connection, user, partner, doc, life_ms, cap, interval_us, burst, lane_bound,
-- outbox_bound, attempt ('' = async), lease_ms, key scope ('' = none), key
-- fingerprint, key_ms, max_attempts. new says that it is not there yet.
local ACCEPT_FIELDS = 18

local function accept_one(i, new)
  local id, bin, c, user, partner, doc = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local attempt, scope = ARGV[i + 12], ARGV[i + 14]

  if not new then
    local known = call('HMGET', op_key(id), 'seq', 'dl')
    if known[1] then return {'ok', known[1], known[2], size(P .. 'pend:' .. c)} end
    if paged(id, bin) then return {'replay', bin} end
  end
  if scope ~= '' then
    local row = key_row(scope, tonumber(ARGV[i + 16]))
    if row then return {row.fingerprint == ARGV[i + 15] and 'replay' or 'mismatch', row.op} end
  end
  local outstanding = size(P .. 'pend:' .. c)
  if outstanding >= tonumber(ARGV[i + 10]) then return {'full', 'lane'} end
  if size(P .. 'outbox') >= tonumber(ARGV[i + 11]) then return {'full', 'outbox'} end

  local l = lane(c)
  if set_limits(l, ARGV[i + 7], ARGV[i + 8], ARGV[i + 9]) then l.changed = true end
  if attempt ~= '' then
    local first = call('ZRANGE', mail_key(c, user), 0, 1)
    local at = gate(l, size(flight_key(c)))
    if first[1] or not at or at > now then
      l.changed = true
      leave(l)
      if first[1] then return {'conflict', first[1] == HELD and first[2] or first[1]} end
      return {'later', at and int(at - now) or '1000'}
    end
  end

  local seq = math.max(l.seq + 1, us)
  local deadline = now + tonumber(ARGV[i + 6])
  local o = put(l, user, partner, id, bin, doc, seq, deadline, ARGV[i + 17], attempt ~= '' and '1' or '0')
  if scope ~= '' then set_key(scope, ARGV[i + 15], tonumber(ARGV[i + 16]), seq, bin) end
  if attempt ~= '' then
    spend(l)
    grant(l, o, attempt, tonumber(ARGV[i + 13]))
    l.changed = true
  else
    add(P .. 'outbox', int(now + 2000), id)
    -- A new operation only adds needs to those that look has seen: its deadline, and
    -- its turn if it is the first of its user.
    local at = deadline
    if call('ZCARD', mail_key(c, user)) == 1 then
      add(P .. 'ready:' .. c, 0, id)
      at = math.min(at, gate(l, size(flight_key(c))) or at)
    end
    l.at = math.min(l.at or at, at)
  end
  save(o)
  leave(l)
  return {'ok', int(seq), int(deadline), outstanding + 1}
end
