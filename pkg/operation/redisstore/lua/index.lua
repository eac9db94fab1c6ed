-- index: args '', partner, day, from, to, backwards (0|1), offset, count. The entries of a day's
-- list whose seq is from..to, in walking order; it writes nothing.
local key = P .. 'day:' .. args[2] .. ':' .. args[3]
local from, to, offset, most = tonumber(args[4]), tonumber(args[5]), tonumber(args[7]), tonumber(args[8])

-- before counts the entries with a lower seq.
local function before(seq, size)
  local low, high = 0, size
  while low < high do
    local mid = floor((low + high) / 2)
    if seq_of(call('LINDEX', key, mid)) < seq then low = mid + 1 else high = mid end
  end
  return low
end

local size = call('LLEN', key)
local first, last = before(from, size), before(to + 1, size) - 1
if args[6] == '1' then
  last = last - offset
  first = max(first, last - most + 1)
else
  first = first + offset
  last = min(last, first + most - 1)
end
if last < first then return {} end
return call('LRANGE', key, first, last)
