-- index: args '', partner, day, from, to, backwards (0|1), count. Entries of a day's list, in
-- order of seq, at most count: from the one at from on, or back from the one at to. The caller
-- leaves out what is past the other end; it writes nothing.
local key = P .. 'day:' .. args[2] .. ':' .. args[3]
local from, to, most = tonumber(args[4]), tonumber(args[5]), tonumber(args[7])
local size = call('LLEN', key)
if size == 0 then return {} end

-- before counts the entries with a lower seq. Mostly it is all or none.
local function before(seq)
  if seq_of(call('LINDEX', key, 0)) >= seq then return 0 end
  if seq_of(call('LINDEX', key, -1)) < seq then return size end
  local low, high = 0, size - 1
  while low < high do
    local mid = floor((low + high) / 2)
    if seq_of(call('LINDEX', key, mid)) < seq then low = mid + 1 else high = mid end
  end
  return low
end

if args[6] == '1' then
  local n = before(to + 1)
  if n == 0 then return {} end
  return call('LRANGE', key, max(0, n - most), n - 1)
end
local first = before(from)
return call('LRANGE', key, first, first + most - 1)
