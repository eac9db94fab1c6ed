-- next: args gen, connection, limits (see limit), bounds (lease_ms, breaker_ms, most repairs), spare
-- row id, n, n attempt ids, then optionally a message: id, its bytes, user, partner, doc, seq,
-- deadline, max_attempts, key scope ('' = none), key fingerprint, key_ms, attempt (the call of it that
-- the caller has made; '' = none, and the message is in the stream)
if stale() then return {'stale'} end
local c, lease_ms, breaker_ms, most = args[2], unpack(words(args[4]))
local attempts = {}
for k = 1, tonumber(args[6]) do attempts[k] = args[6 + k] end
local m = 6 + #attempts -- the message follows
local healed, expired, ended, spares = 0, 0, 0, 0
local l = lane(c)
set_limits(l, args[3])

-- A message whose record is gone puts it back; it never overwrites one.
if args[m + 1] and call('EXISTS', op_key(args[m + 1])) == 0 and not paged(args[m + 1], args[m + 2]) then
  local seq = tonumber(args[m + 6])
  local o = put(l, args[m + 3], args[m + 4], args[m + 1], args[m + 2], args[m + 5], seq, tonumber(args[m + 7]), args[m + 8], '0')
  local attempt = args[m + 12]
  if attempt == '' then set(o, 'acked_accepted', '1') else outbox(o.id, 2000) end
  keep_key(args[m + 9], args[m + 10], args[m + 11], seq, args[m + 2])
  save(o)
  if comes_first(o) then
    if attempt == '' then
      head(c, o.user)
    else -- nobody else calls it before its outcome is there
      grant(l, o, attempt, lease_ms)
      save(o)
    end
  end
  healed = 1
end

l.lease_end = count_calls(l) > 0 and first(l.flight) or false
l.deadline = first(l.pend) or false
local heals = (l.lease_end or now + 1) <= now
local ends = heals or (l.deadline or now + 1) <= now
if ends then l.inflight, l.lease_end, l.deadline = nil, nil, nil end -- they will change

-- Leases that ran out: the outcome is unknown, and counts as an attempt.
for _, member in ipairs(heals and call('ZRANGEBYSCORE', l.flight, '-inf', now, 'LIMIT', 0, most) or {}) do
  local id, attempt = sub(member, 1, 36), sub(member, 38)
  local o = open(id)
  if not o or o.lease ~= attempt then
    call('ZREM', l.flight, member)
  else
    write_row(o, attempt, '{"s":' .. int(leased_us(o)) .. ',"e":' .. int(us) ..
      ',"st":"failed","t":"network","d":"the outcome of this call is unknown: it was not recorded in time"}', true)
    drop(o)
    local made = tonumber(o.f.attempted or 0) + 1
    set(o, 'attempted', int(made))
    set(o, 'upd', int(us))
    set(o, 'repeat', '1')
    outbox(id, 0)
    expired, spares = expired + 1, spares + 1
    if l.open > 0 then note(l, 'open', now + breaker_ms) end
    if settle(o, spare(args[5], spares), 0) then
      ended = ended + 1
    elseif o.sync == '1' then
      finish(o, 'failed', 0)
      ended = ended + 1
    elseif made >= tonumber(o.max) then
      explain(o, spare(args[5], spares), 'gave up after attempt ' .. made)
      finish(o, 'failed', 0)
      ended = ended + 1
    else
      free(o)
    end
  end
end

-- Deadlines: one that is being called is marked, and looked at when its lease ends.
for _, id in ipairs(ends and call('ZRANGEBYSCORE', l.pend, '-inf', now, 'LIMIT', 0, most) or {}) do
  local o = open(id)
  if not o then
    call('ZREM', l.pend, id)
  elseif o.lease then
    if not o.f.mark then set(o, 'mark', 'deadline') end
    save(o)
    call('ZADD', l.pend, call('ZSCORE', l.flight, id .. ':' .. o.lease) or now + lease_ms, id)
  else
    spares = spares + 1
    explain(o, spare(args[5], spares), DEADLINE)
    finish(o, 'failed', 0)
    ended = ended + 1
  end
end

local leases = handout(l, attempts, lease_ms, repeated(), args[5])
save_lane(l)
local due = look(l)
return {'ok', (due and due <= now) and 1 or 0, healed, expired, ended, leases}
