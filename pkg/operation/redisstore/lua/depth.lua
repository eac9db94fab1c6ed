-- depth: args '', most lanes to read. How full a shard is; it writes nothing. The
-- lanes due are read oldest first, all lanes at random: with more than the most,
-- what is counted over lanes is of a sample.
local most = tonumber(args[2])
local due_key = N.due

-- allowed is how many calls the lane's rate allows at once, nil without a rate.
local function allowed(l)
  return l.interval > 0 and floor((us + l.interval * l.burst - max(l.tat, us)) / l.interval) or nil
end

-- callable counts the ready heads that could be called now.
local function callable(c)
  local l = lane(c)
  local inflight = call('ZCARD', l.flight)
  local at = gate(l, inflight)
  if not at or at > now then return 0 end
  local room = (l.open > 0 and 1 or l.cap) - inflight
  return min(room, allowed(l) or room, call('ZCOUNT', l.ready, '-inf', int(turns_by())))
end

local function oldest(key)
  local at = first(key)
  return at and max(0, now - at) or 0
end

-- unpublished is for how long the outbox has been overdue. A claim puts its entries off, so
-- their scores tell nothing where the streams refuse them again and again: the last change
-- of a record does, which all come here with. Those next to be published are read.
local function unpublished()
  local age = oldest(N.outbox)
  for _, id in ipairs(call('ZRANGE', N.outbox, '0', '3')) do
    local v = call('HMGET', op_key(id), 'upd', 'who')
    local changed = v[1] or v[2] and select(2, match(v[2], WHO, 3 * UUID + 4))
    if changed then age = max(age, now - floor(tonumber(changed) / 1000) - 2000) end
  end
  return age
end

local ready, due_read = 0, call('ZRANGEBYSCORE', due_key, '-inf', now, 'LIMIT', 0, most)
for _, c in ipairs(due_read) do ready = ready + callable(c) end

-- left is how many calls the lane's rate allows at once, -1 without a rate; wait for
-- how many ms its rate, a Retry-After or the breaker hold it.
local function limits(l)
  local left, at = -1, max(l.blocked, l.open)
  if l.interval > 0 then
    left = max(0, allowed(l))
    at = max(at, math.ceil((l.tat - l.interval * (l.burst - 1)) / 1000))
  end
  return left, max(0, at - now)
end

local outstanding, inflight, blocked, open, paused = 0, 0, 0, 0, 0
local delayed, limited, held, behind, oldest_seq = 0, 0, 0, 0, nil
local lanes, read = {}, call('ZRANDMEMBER', due_key, most)
for _, c in ipairs(read) do
  local l = lane(c)
  local flight, all, heads = call('ZCARD', l.flight), call('ZCARD', l.pend), call('ZCARD', l.ready)
  local due = call('ZCOUNT', l.ready, '-inf', int(turns_by()))
  outstanding, inflight = outstanding + all, inflight + flight
  delayed, behind = delayed + heads - due, behind + max(0, all - flight - heads)
  local rest = due - callable(c)
  if l.paused == 1 or l.open > 0 or max(l.blocked, closed()) > now then held = held + rest else limited = limited + rest end
  if l.blocked > now then blocked = blocked + 1 end
  if l.open > 0 then open = open + 1 end
  if l.paused == 1 then paused = paused + 1 end
  local seq = longest(l)
  if seq and (not oldest_seq or seq < oldest_seq) then oldest_seq = seq end
  local left, wait = limits(l)
  lanes[#lanes + 1] = {c, left, heads > 0 and wait or '0', l.open > 0 and 1 or 0}
end

local beat = 0
for _, at in ipairs(call('HVALS', N.beat)) do beat = max(beat, tonumber(at)) end
return {
  call('GET', N.gen) or '', call('EXISTS', N.rebuild), call('EXISTS', N.history),
  beat > 0 and max(0, now - beat) or '-1',
  call('ZCOUNT', due_key, '-inf', now), call('ZCARD', due_key), oldest(due_key),
  call('ZCARD', N.outbox), unpublished(),
  #due_read, ready, #read, outstanding, inflight, blocked, open, paused,
  delayed, limited, held, behind, oldest_seq and max(0, us - oldest_seq) or 0, lanes,
}
