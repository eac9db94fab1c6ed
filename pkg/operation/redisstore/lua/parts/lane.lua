-- A lane is what the operations of one connection share. It is read once, changed in
-- memory, and written once, by save_lane.
local LANE = {'cap', 'interval', 'burst', 'blocked', 'tat', 'fails', 'open', 'seq', 'paused'}

local function lane(c)
  local v = call('HMGET', P .. 'lane:' .. c, unpack(LANE))
  local l = {c = c, new = {}, known = v[1]}
  for i, name in ipairs(LANE) do l[name] = tonumber(v[i] or 0) end
  if not v[1] then l.cap, l.burst = 8, 1 end
  return l
end

local function note(l, name, value)
  l[name] = value
  l.new[#l.new + 1], l.new[#l.new + 2] = name, int(value)
end

local function save_lane(l)
  if #l.new > 0 then call('HSET', P .. 'lane:' .. l.c, unpack(l.new)) end
  l.new = {}
end

-- set_limits keeps the lane's limits as the directory has them now. It says whether
-- they changed.
local function set_limits(l, cap, interval, burst)
  cap, interval, burst = tonumber(cap), tonumber(interval), tonumber(burst)
  if l.known and l.cap == cap and l.interval == interval and l.burst == burst then return false end
  note(l, 'cap', cap)
  note(l, 'interval', interval)
  note(l, 'burst', burst)
  l.known = true
  return true
end

-- gate says from when on the lane may hand out one more call: nil if it has no
-- room or is paused. A lane with an open breaker has room for one probe.
local function gate(l, inflight)
  local cap = l.cap
  if l.open > 0 then cap = 1 end
  if l.paused == 1 or inflight >= cap then return nil end
  local at = math.max(l.blocked, l.open, closed())
  if l.interval > 0 then
    local free = l.tat - l.interval * (l.burst - 1)
    if free > us then at = math.max(at, math.ceil(free / 1000)) end
  end
  return at
end

-- spend takes one call from the lane's rate (GCRA).
local function spend(l)
  if l.interval > 0 then note(l, 'tat', math.max(l.tat, us) + l.interval) end
end

local function flight_key(c) return P .. 'flight:' .. c end

-- look sets when somebody must look at the lane next. It gives that time, or nil when
-- there is nothing to wait for.
local function look(l)
  local c, best = l.c, nil
  local function candidate(x)
    if x and (not best or x < best) then best = x end
  end
  candidate(tonumber(call('ZRANGE', flight_key(c), 0, 0, 'WITHSCORES')[2]))
  candidate(tonumber(call('ZRANGE', P .. 'pend:' .. c, 0, 0, 'WITHSCORES')[2]))
  local ready = tonumber(call('ZRANGE', P .. 'ready:' .. c, 0, 0, 'WITHSCORES')[2])
  if ready then
    local at = gate(l, call('ZCARD', flight_key(c)))
    if at then candidate(math.max(at, ready)) end
  end
  if not best then
    call('ZREM', P .. 'due', c)
    return nil
  end
  best = math.max(best, now)
  call('ZADD', P .. 'due', int(best), c)
  return best
end
