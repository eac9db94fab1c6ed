-- depth: ARGV '', most lanes to read. How full a shard is; it writes nothing. The
-- lanes due are read oldest first, all lanes at random: with more than the most,
-- what is counted over lanes is of a sample.
local most = tonumber(ARGV[2])
local due_key = P .. 'due'

-- callable counts the ready heads that could be called now.
local function callable(c)
  local l, inflight = lane(c), call('ZCARD', flight_key(c))
  local at = gate(l, inflight)
  if not at or at > now then return 0 end
  local room = (l.open > 0 and 1 or l.cap) - inflight
  if l.interval > 0 then
    room = math.min(room, math.floor((us + l.interval * l.burst - math.max(l.tat, us)) / l.interval))
  end
  return math.min(room, call('ZCOUNT', P .. 'ready:' .. c, '-inf', int(now)))
end

local function oldest(key)
  local at = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
  return at and math.max(0, now - at) or 0
end

local ready, due_read = 0, call('ZRANGEBYSCORE', due_key, '-inf', int(now), 'LIMIT', 0, most)
for _, c in ipairs(due_read) do ready = ready + callable(c) end

-- left is how many calls the lane's rate allows at once, -1 without a rate; wait for
-- how many ms its rate, a Retry-After or the breaker hold it.
local function limits(l)
  local left, at = -1, math.max(l.blocked, l.open)
  if l.interval > 0 then
    left = math.max(0, math.floor((us + l.interval * l.burst - math.max(l.tat, us)) / l.interval))
    at = math.max(at, math.ceil((l.tat - l.interval * (l.burst - 1)) / 1000))
  end
  return int(left), int(math.max(0, at - now))
end

local outstanding, inflight, blocked, open, paused = 0, 0, 0, 0, 0
local delayed, limited, held, behind, oldest_seq = 0, 0, 0, 0, nil
local lanes, read = {}, call('ZRANDMEMBER', due_key, most)
for _, c in ipairs(read) do
  local l, pend, flight = lane(c), P .. 'pend:' .. c, call('ZCARD', flight_key(c))
  local all, heads = call('ZCARD', pend), call('ZCARD', P .. 'ready:' .. c)
  local due = call('ZCOUNT', P .. 'ready:' .. c, '-inf', int(now))
  outstanding, inflight = outstanding + all, inflight + flight
  delayed, behind = delayed + heads - due, behind + math.max(0, all - flight - heads)
  local rest = due - callable(c)
  if l.paused == 1 or l.open > 0 or math.max(l.blocked, closed()) > now then held = held + rest else limited = limited + rest end
  if l.blocked > now then blocked = blocked + 1 end
  if l.open > 0 then open = open + 1 end
  if l.paused == 1 then paused = paused + 1 end
  local first = call('ZRANGE', pend, 0, 0)[1]
  local seq = first and tonumber(call('HGET', P .. 'op:' .. first, 'seq') or nil)
  if seq and (not oldest_seq or seq < oldest_seq) then oldest_seq = seq end
  local left, wait = limits(l)
  lanes[#lanes + 1] = {c, left, heads > 0 and wait or '0', l.open > 0 and 1 or 0}
end

local beat = 0
for _, at in ipairs(call('HVALS', P .. 'beat')) do beat = math.max(beat, tonumber(at)) end
return {
  call('GET', P .. 'gen') or '', call('EXISTS', P .. 'rebuild'), call('EXISTS', P .. 'history'),
  beat > 0 and int(math.max(0, now - beat)) or '-1',
  call('ZCOUNT', due_key, '-inf', int(now)), call('ZCARD', due_key), int(oldest(due_key)),
  call('ZCARD', P .. 'outbox'), int(oldest(P .. 'outbox')),
  #due_read, ready, #read, outstanding, inflight, blocked, open, paused,
  int(delayed), int(limited), int(held), int(behind), int(oldest_seq and math.max(0, us - oldest_seq) or 0), lanes,
}
