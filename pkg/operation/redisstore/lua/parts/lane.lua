-- note changes a number of a lane.
local function note(l, name, value)
  l[name] = value
  change(l, name, int(value))
end

-- rated keeps the lane's place in its rate (GCRA) to what the rate can make it: the clock
-- may have been ahead for a moment, or the rate was lower.
local function rated(l)
  local most = us + l.interval * l.burst
  if l.tat > most then note(l, 'tat', most) end
end

-- A lane is what the operations of one connection share. It is read once, changed in
-- memory, and written once, by save_lane.
-- Its limits are a text: how many calls in flight, the us between two, how many at once.
local function lane(c)
  local key = P .. 'lane:' .. c
  local v = call('HMGET', key, 'limits', 'blocked', 'tat', 'fails', 'open', 'paused')
  local w = words(v[1] or '8 0 1')
  local l = {
    c = c, key = key, flight = P .. 'flight:' .. c, pend = P .. 'pend:' .. c, ready = P .. 'ready:' .. c,
    given = v[1], cap = w[1], interval = w[2], burst = w[3],
    blocked = tonumber(v[2] or 0), tat = tonumber(v[3] or 0), fails = tonumber(v[4] or 0),
    open = tonumber(v[5] or 0), paused = tonumber(v[6] or 0),
  }
  rated(l)
  return l
end

local function save_lane(l)
  if l.new then call('HSET', l.key, unpack(l.new)) end
  l.new = nil
end

-- set_limits keeps the lane's limits as the directory has them now. It says whether
-- they changed.
local function set_limits(l, text)
  if l.given == text then return false end
  local w = words(text)
  l.cap, l.interval, l.burst = w[1], w[2], w[3]
  l.given = text
  change(l, 'limits', text)
  rated(l)
  return true
end

-- gate says from when on the lane may hand out one more call: nil if it has no
-- room or is paused. A lane with an open breaker has room for one probe.
local function gate(l, inflight)
  local cap = l.cap
  if l.open > 0 then cap = 1 end
  if l.paused == 1 or inflight >= cap then return nil end
  local at = max(l.blocked, l.open, closed())
  if l.interval > 0 then
    local free = l.tat - l.interval * (l.burst - 1)
    if free > us then at = max(at, math.ceil(free / 1000)) end
  end
  return at
end

-- spend takes one call from the lane's rate (GCRA).
local function spend(l)
  if l.interval > 0 then note(l, 'tat', max(l.tat, us) + l.interval) end
end

-- An operation's turn in ready is when it was accepted, or may be tried again: what comes
-- later does not pass it. turns_by is up to when turns have come. A clock that steps back
-- makes nobody wait who was accepted before.
local function turn_of(seq) return floor(seq / 1000) end
local function turns_by() return max(now, turn_of(shard.seq)) end

-- first gives the least score of a sorted set, nil if it is empty.
local function first(key) return tonumber(call('ZRANGE', key, '0', '0', 'WITHSCORES')[2]) end

-- longest gives the place of the outstanding operation whose deadline comes first, nil if
-- there is none.
local function longest(l)
  local id = call('ZRANGE', l.pend, '0', '0')[1]
  local who = id and call('HGET', op_key(id), 'who')
  return who and tonumber((select(2, match(who, WHO, 3 * UUID + 4))))
end

-- count_calls gives how many are being called. What a script has read of a lane's sets is
-- kept with the lane, where nothing changes them any more but handout: inflight, and the
-- least scores lease_end, deadline and turn (false: the set is empty).
local function count_calls(l)
  if not l.inflight then l.inflight = call('ZCARD', l.flight) end
  return l.inflight
end

-- look sets when somebody must look at the lane next: the earliest lease end, the
-- earliest deadline, or when a ready head may go. It gives that time, or nil when
-- there is nothing to wait for.
local function look(l)
  local turn, best = l.turn, nil
  if turn == nil then turn = first(l.ready) end
  if turn then
    best = gate(l, count_calls(l))
    if best and turn > turns_by() then best = max(best, turn) end
  end
  if not best or best > now then -- else it is now, whatever the others say
    local deadline = l.deadline
    if deadline == nil then deadline = first(l.pend) end
    if not deadline then
      call('ZREM', N.due, l.c)
      return nil
    end
    best = min(best or deadline, deadline)
    local lease_end = l.lease_end
    if lease_end == nil and l.inflight ~= 0 then lease_end = first(l.flight) end
    if lease_end then best = min(best, lease_end) end
  end
  best = max(best, now)
  call('ZADD', N.due, int(best), l.c)
  return best
end
