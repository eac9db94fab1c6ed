-- next: ARGV gen, connection, lease_ms, breaker_ms, cap, interval_us, burst, most repairs, spare row id,
-- n, n attempt ids, then optionally a message: id, its bytes, user, partner, doc, seq, deadline,
-- max_attempts, key scope ('' = none), key fingerprint, key_ms
if stale() then return {'stale'} end
local c, lease_ms, breaker_ms, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[8])
local attempts = {}
for k = 1, tonumber(ARGV[10]) do attempts[k] = ARGV[10 + k] end
local m = 10 + #attempts -- the message follows
local healed, expired, ended, spares = 0, 0, 0, 0
local function row_id()
  spares = spares + 1
  return spare(ARGV[9], spares)
end
local l = lane(c)
set_limits(l, ARGV[5], ARGV[6], ARGV[7])

-- A message whose record is gone puts it back; it never overwrites one.
if ARGV[m + 1] and call('EXISTS', op_key(ARGV[m + 1])) == 0 and not paged(ARGV[m + 1], ARGV[m + 2]) then
  local seq = tonumber(ARGV[m + 6])
  local o = put(l, ARGV[m + 3], ARGV[m + 4], ARGV[m + 1], ARGV[m + 2], ARGV[m + 5], seq, tonumber(ARGV[m + 7]), ARGV[m + 8], '0')
  set(o, 'acked_accepted', '1')
  keep_key(ARGV[m + 9], ARGV[m + 10], ARGV[m + 11], seq, ARGV[m + 2])
  free(o)
  healed = 1
end

-- Leases that ran out: the outcome is unknown, and counts as an attempt.
for _, member in ipairs(call('ZRANGEBYSCORE', flight_key(c), '-inf', int(now), 'LIMIT', 0, most)) do
  local id, attempt = string.sub(member, 1, 36), string.sub(member, 38)
  local o = open(id)
  if not o or o.f.lease ~= attempt then
    call('ZREM', flight_key(c), member)
  else
    write_row(o, attempt, '{"s":' .. o.f.leased_us .. ',"e":' .. int(us) ..
      ',"st":"failed","t":"network","d":"the outcome of this call is unknown: it was not recorded in time"}', true)
    drop(o)
    local made = tonumber(o.f.attempted or 0) + 1
    set(o, 'attempted', int(made))
    set(o, 'upd', int(us))
    set(o, 'repeat', '1')
    outbox(id, 0)
    expired = expired + 1
    if l.open > 0 then note(l, 'open', now + breaker_ms) end
    if settle(o, row_id(), 0) then
      ended = ended + 1
    elseif o.sync == '1' then
      finish(o, 'failed', 0)
      ended = ended + 1
    elseif made >= tonumber(o.max) then
      explain(o, row_id(), 'gave up after attempt ' .. int(made))
      finish(o, 'failed', 0)
      ended = ended + 1
    else
      free(o)
    end
  end
end

-- Deadlines: one that is being called is marked, and looked at when its lease ends.
local pend = P .. 'pend:' .. c
for _, id in ipairs(call('ZRANGEBYSCORE', pend, '-inf', int(now), 'LIMIT', 0, most)) do
  local o = open(id)
  if not o then
    call('ZREM', pend, id)
  elseif o.f.lease then
    if not o.f.mark then set(o, 'mark', 'deadline') end
    save(o)
    call('ZADD', pend, call('ZSCORE', flight_key(c), id .. ':' .. o.f.lease) or int(now + lease_ms), id)
  else
    explain(o, row_id(), DEADLINE)
    finish(o, 'failed', 0)
    ended = ended + 1
  end
end

local leases = handout(l, attempts, lease_ms, true)
save_lane(l)
local due = look(l)
return {'ok', (due and due <= now) and 1 or 0, healed, expired, ended, leases}
