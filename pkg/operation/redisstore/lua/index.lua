-- index: args '', partner, day, from, to, backwards (1|0), most, list, late. Reads on in the
-- index of a day: in its list from a place on ('' for where the window from..to begins; '~' and a
-- place for where a forward one may begin), and in what came late after so many that were read
-- ('-' for neither). For each of both it gives where the next entries are, and those read, at most
-- so many, in order of seq; and the least place that an operation of the shard can be accepted at
-- from now on. It writes nothing.
-- A list only grows at its end, so an entry keeps its place.
if shard.gen == '' or call('EXISTS', N.history) == 1 then return {'stale'} end
local rest, from, to, back, most = args[2] .. ':' .. args[3], args[4], args[5], args[6] == '1', tonumber(args[7])

-- before counts the entries of the list that come before seq. Seqs are times, so a first guess
-- is not far off; where they are uneven, halving bounds the search.
local function before(key, seq)
  local low, high, guesses = 0, call('LLEN', key), 6
  if high == 0 then return 0 end
  local first, last = seq_of(call('LINDEX', key, 0)), seq_of(call('LINDEX', key, -1))
  if first >= seq then return 0 end
  if last < seq then return high end
  low, high = 1, high - 1 -- the entry at low - 1 has first, which is less, and that at high has last
  while low < high do
    local mid = floor((low + high) / 2)
    if guesses > 0 then mid = min(high - 1, low + floor((high - low + 1) * (seq - first) / (last - first))) end
    local s = seq_of(call('LINDEX', key, mid))
    if s < seq then low, first = mid + 1, s else high, last = mid, s end
    guesses = guesses - 1
  end
  return low
end

-- guessed reads from a place on if what comes before seq ends there, as the entries beside show.
local function guessed(key, place, seq)
  local read = call('LRANGE', key, max(0, place - 1), place + most - 1)
  if place > 0 then
    local prior = table.remove(read, 1)
    if not prior or seq_of(prior) >= seq then return nil end
  end
  if read[1] and seq_of(read[1]) < seq then return nil end
  return read
end

local list, late = {'-', ''}, {'-', ''}
if args[8] ~= '-' then
  local key, place = P .. 'day:' .. rest, tonumber(args[8])
  local guess = tonumber(match(args[8], '^~(%d+)$') or '')
  local read = guess and guessed(key, guess, tonumber(from))
  if read then place = guess end
  if not place then place = back and before(key, tonumber(to) + 1) - 1 or before(key, tonumber(from)) end
  local first, last = place, place + most - 1
  if back then first, last = max(0, place - most + 1), place end
  if not read then read = last >= 0 and call('LRANGE', key, first, last) or {} end
  list = {int(back and first - 1 or place + #read), table.concat(read)}
end
if args[9] ~= '-' then
  local key, skip = P .. 'late:' .. rest, tonumber(args[9])
  local read
  if back then
    read = call('ZREVRANGEBYSCORE', key, to, from, 'WITHSCORES', 'LIMIT', skip, most)
  else
    read = call('ZRANGEBYSCORE', key, from, to, 'WITHSCORES', 'LIMIT', skip, most)
  end
  local n, entries = #read / 2, {}
  for i = 1, n do entries[back and n + 1 - i or i] = entry_of(tonumber(read[2 * i]), read[2 * i - 1]) end
  late = {int(skip + n), table.concat(entries)}
end
return {'ok', list[1], list[2], late[1], late[2], int(max(shard.seq + 1, us))}
