-- The day index: per partner and day a list of entries (seq in seven bytes, then the
-- id), in order of seq. What comes out of order (records that are put back) goes into
-- a sorted set beside it.
local DAY, INDEX_LIFE = 86400000000, 47 * 86400

-- push and add write what many new operations write to one key; accept gathers that.
local function push(key, entry, life)
  call('RPUSH', key, entry)
  if life then call('EXPIRE', key, life) end
end
local function add(key, score, member) call('ZADD', key, score, member) end

local function seq_of(entry)
  local n = 0
  for i = 1, 7 do n = n * 256 + string.byte(entry, i) end
  return n
end

local function entry_of(seq, bin)
  local s = {}
  for i = 7, 1, -1 do
    s[i] = string.char(seq % 256)
    seq = math.floor(seq / 256)
  end
  return table.concat(s) .. bin
end

local newest = {} -- seq of the last entry of a list, 0 for none

local function index(partner, seq, bin)
  if unlisted then return end
  local rest = partner .. ':' .. int(math.floor(seq / DAY))
  local key = P .. 'day:' .. rest
  if not newest[key] then
    local last = call('LINDEX', key, -1)
    newest[key] = last and seq_of(last) or 0
  end
  if newest[key] >= seq then
    call('ZADD', P .. 'late:' .. rest, int(seq), bin)
    call('EXPIRE', P .. 'late:' .. rest, INDEX_LIFE)
  else
    push(key, entry_of(seq, bin), newest[key] == 0 and INDEX_LIFE)
    newest[key] = seq
  end
end

-- put makes a new operation and its place; the caller has checked that it is new, and
-- saves it and the lane.
local function put(l, user, partner, id, bin, doc, seq, deadline, max, sync)
  local o = {id = id, conn = l.c, user = user, partner = partner, max = max, sync = sync, f = {}, new = {}, gone = {}}
  set(o, 'doc', doc)
  set(o, 'seq', int(seq))
  set(o, 'dl', int(deadline))
  set(o, 'st', 'pending')
  set(o, 'upd', int(us))
  set(o, 'who', l.c .. ' ' .. user .. ' ' .. partner .. ' ' .. max .. ' ' .. sync)
  index(partner, seq, bin)
  count(partner, 1)
  call('ZADD', mail_key(l.c, user), int(seq), id)
  add(P .. 'pend:' .. l.c, int(deadline), id)
  if seq > l.seq then note(l, 'seq', seq) end
  return o
end

-- Idempotency keys: rows of (operation, fingerprint, accept time) in the hashes of the
-- present and the last period of a key's life.
local function key_bucket(scope, slot) return P .. 'key:' .. int(slot) .. ':' .. (string.byte(scope, 1) % 128) end

local function key_row(scope, life_ms)
  local slot = math.floor(now / life_ms)
  local row = call('HGET', key_bucket(scope, slot), scope) or call('HGET', key_bucket(scope, slot - 1), scope)
  if not row or now - seq_of(string.sub(row, 33)) / 1000 >= life_ms then return nil end
  return {op = string.sub(row, 1, 16), fingerprint = string.sub(row, 17, 32)}
end

-- set_key says which operation an idempotency key stands for.
local function set_key(scope, fingerprint, life_ms, seq, bin)
  local slot = math.floor(now / life_ms)
  call('HSET', key_bucket(scope, slot), scope, bin .. fingerprint .. entry_of(seq, ''))
  call('PEXPIREAT', key_bucket(scope, slot), int((slot + 2) * life_ms))
end

-- keep_key puts that back, unless the key stands for an operation already.
local function keep_key(scope, fingerprint, life_ms, seq, bin)
  life_ms = tonumber(life_ms)
  if scope == '' or now - seq / 1000 >= life_ms or key_row(scope, life_ms) then return end
  set_key(scope, fingerprint, life_ms, seq, bin)
end
