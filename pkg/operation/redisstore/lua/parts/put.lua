-- The day index: per partner and day a list of entries (seq in seven bytes, then the
-- id), in order of seq. What comes out of order (records that are put back) goes into
-- a sorted set beside it.
local DAY, INDEX_LIFE = 86400000000, 47 * 86400

-- push and add write what many new operations write to one key; size counts a set.
local function push(key, entry)
  if gathered then return gathered.push(key, entry) end
  if call('RPUSH', key, entry) == 1 then call('EXPIRE', key, INDEX_LIFE) end
end
local function add(key, score, member)
  if gathered then return gathered.add(key, score, member) end
  call('ZADD', key, score, member)
end
local function size(key)
  if gathered then return gathered.size(key) end
  return call('ZCARD', key)
end

local function seq_of(entry)
  local a, b, c, d, e, f, g = byte(entry, 1, 7)
  return (((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 256 + g
end

local function entry_of(seq, bin)
  local high = floor(seq / 16777216)
  return char(floor(high / 16777216) % 256, floor(high / 65536) % 256, floor(high / 256) % 256, high % 256,
    floor(seq / 65536) % 256, floor(seq / 256) % 256, seq % 256) .. bin
end

-- index makes an operation known to the shard: its place, which run writes if it is the
-- newest, and its entry.
local function index(partner, seq, bin)
  local newest = seq > shard.seq
  if newest then shard.seq, shard.grown = seq, true end
  if unlisted then return end
  local rest = partner .. ':' .. floor(seq / DAY)
  local key = P .. 'day:' .. rest
  if not newest then -- it may still be the last of this list
    local last = call('LINDEX', key, -1)
    if last and seq_of(last) >= seq then
      call('ZADD', P .. 'late:' .. rest, seq, bin)
      call('EXPIRE', P .. 'late:' .. rest, INDEX_LIFE)
      return
    end
  end
  push(key, entry_of(seq, bin))
end

-- put makes a new operation and its place; the caller has checked that it is new, and
-- saves it.
local function put(l, user, partner, id, bin, doc, seq, deadline, most, sync)
  local o = {id = id, key = op_key(id), conn = l.c, user = user, partner = partner, max = most, seq = seq, dl = deadline, sync = sync, f = {}}
  local place, till = int(seq), int(deadline)
  set(o, 'doc', doc)
  set(o, 'who', l.c .. ' ' .. user .. ' ' .. partner .. ' ' .. most .. ' ' .. place .. ' ' .. till .. ' ' .. sync)
  index(partner, seq, bin)
  call('ZADD', mail_key(l.c, user), place, id)
  add(l.pend, till, id)
  return o
end

-- Idempotency keys: rows of (operation, fingerprint, accept time) in the hashes of the
-- present and the last period of a key's life.
local STEP = 60000 -- ms by which the clock may step back without a key's being forgotten
local function key_bucket(scope, slot) return P .. 'key:' .. slot .. ':' .. (byte(scope, 1) % 128) end

local function key_row(scope, life_ms)
  local slot = floor(now / life_ms)
  local row = call('HGET', key_bucket(scope, slot), scope) or call('HGET', key_bucket(scope, slot - 1), scope)
  if not row and (slot + 1) * life_ms - now < STEP then row = call('HGET', key_bucket(scope, slot + 1), scope) end
  if not row or now - seq_of(sub(row, 33)) / 1000 >= life_ms then return nil end
  return {op = sub(row, 1, 16), fingerprint = sub(row, 17, 32)}
end

-- set_key says which operation an idempotency key stands for. The first row of a
-- bucket gives it its end.
local function set_key(scope, fingerprint, life_ms, seq, bin)
  local slot = floor(now / life_ms)
  local key = key_bucket(scope, slot)
  call('HSET', key, scope, bin .. fingerprint .. entry_of(seq, ''))
  if call('HLEN', key) == 1 then call('PEXPIREAT', key, (slot + 2) * life_ms) end
end

-- keep_key puts that back, unless the key stands for an operation already.
local function keep_key(scope, fingerprint, life_ms, seq, bin)
  life_ms = tonumber(life_ms)
  if scope == '' or now - seq / 1000 >= life_ms or key_row(scope, life_ms) then return end
  set_key(scope, fingerprint, life_ms, seq, bin)
end
