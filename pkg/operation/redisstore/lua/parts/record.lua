-- An operation's record: read once by open, changed in memory, written once by save.
-- who holds what never changes: connection, user, partner, most attempts, seq, deadline,
-- sync (0|1), of which the first three are UUIDs; a newer program may put more behind. A
-- record without st is pending, one without upd has not changed since.
local UUID, WHO = 36, '^(%d+) (%d+) (%d+) (%d)'
local function op_key(id) return P .. 'op:' .. id end

local function open(id)
  local key = op_key(id)
  local list = call('HGETALL', key)
  if #list == 0 then return nil end
  local f = {}
  for i = 1, #list, 2 do f[list[i]] = list[i + 1] end
  local who, lease = f.who, f.lease
  local most, seq, dl, sync = match(who, WHO, 3 * UUID + 4)
  return {
    id = id, key = key, f = f, conn = sub(who, 1, UUID), user = sub(who, UUID + 2, 2 * UUID + 1),
    partner = sub(who, 2 * UUID + 3, 3 * UUID + 2), max = most, seq = seq, dl = dl, sync = sync,
    lease = lease and lease ~= '' and sub(lease, 1, UUID) or nil,
  }
end

local function set(o, k, v)
  o.f[k] = v
  change(o, k, v)
end

local function unset(o, k)
  if not o.f[k] then return end
  o.f[k] = nil
  o.gone = o.gone or {}
  o.gone[#o.gone + 1] = k
end

-- save writes the fields in the order in which they were changed; one that was set and
-- taken back goes, one that was taken back and set stays.
local function save(o)
  local new, gone = o.new, o.gone
  o.new, o.gone = nil, nil
  if new then call('HSET', o.key, unpack(new)) end
  if not gone then return end
  local go = {}
  for _, k in ipairs(gone) do
    if o.f[k] == nil then go[#go + 1] = k end
  end
  if #go > 0 then call('HDEL', o.key, unpack(go)) end
end

local function pending(o) return not o.f.st end

-- created notes the user that a create made; one that an ended operation has stays.
local function created(o, resource_id, source_id)
  if source_id ~= '' and (pending(o) or not o.f.source_id) then
    set(o, 'resource_id', resource_id)
    set(o, 'source_id', source_id)
  end
end

-- leased_us is when the lease of an operation was given; the field holds it after the
-- attempt id, and is empty without a lease.
local function leased_us(o) return tonumber(sub(o.f.lease, 38)) end

-- view lists the fields of the record, as they are now; what the caller has already
-- is left out: the fixed part, and the row that it brought.
local function view(o, all, row)
  local out, n = {}, 0
  for k, v in pairs(o.f) do
    if k ~= 'whole' and k ~= row and (all or k ~= 'doc') then
      out[n + 1], out[n + 2] = k, v
      n = n + 2
    end
  end
  return out
end

-- Ended records whose events are out lie in pages, many to a key: the page is a part
-- of the operation id.
local function page_key(id) return P .. 'page:' .. sub(id, 25, 34) end
local function page_field(bin) return sub(bin, 1, 10) .. sub(bin, 16, 16) end
local function paged(id, bin)
  if unlisted then return nil end
  return call('HGET', page_key(id), page_field(bin)) or nil
end

-- write_page writes fields of a page. The life of a page counts from its last record,
-- give or take the hour that it is longer.
local function write_page(key, ttl, ...)
  call('HSET', key, ...)
  if call('TTL', key) < ttl then call('EXPIRE', key, ttl + 3600) end
end

local function to_page(id, bin, whole, ttl) write_page(page_key(id), tonumber(ttl), page_field(bin), whole) end

local function outbox(id, delay) call('ZADD', N.outbox, int(now + delay), id) end
