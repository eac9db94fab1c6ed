-- index: args '', partner, day, seq. How many entries of the day's list come before seq, and
-- how many there are; it writes nothing. A list only grows at its end, so an entry keeps its
-- place.
local key, seq = P .. 'day:' .. args[2] .. ':' .. args[3], tonumber(args[4])
local size = call('LLEN', key)
if size == 0 or seq_of(call('LINDEX', key, 0)) >= seq then return {0, size} end
if seq_of(call('LINDEX', key, -1)) < seq then return {size, size} end
local low, high = 0, size
while low < high do
  local mid = floor((low + high) / 2)
  if seq_of(call('LINDEX', key, mid)) < seq then low = mid + 1 else high = mid end
end
return {low, size}
