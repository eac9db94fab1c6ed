-- An operation's record: read once by open, changed in memory, written once by save.
local function op_key(id) return P .. 'op:' .. id end

local function open(id)
  local list = call('HGETALL', op_key(id))
  if #list == 0 then return nil end
  local f = {}
  for i = 1, #list, 2 do f[list[i]] = list[i + 1] end
  local o = {id = id, f = f, new = {}, gone = {}}
  o.conn, o.user, o.partner, o.max, o.sync = string.match(f.who, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  return o
end

local function set(o, k, v)
  o.f[k], o.new[k], o.gone[k] = v, v, nil
end

local function unset(o, k)
  if o.f[k] then o.f[k], o.new[k], o.gone[k] = nil, nil, true end
end

local function save(o)
  local new, gone = {}, {}
  for k, v in pairs(o.new) do new[#new + 1], new[#new + 2] = k, v end
  for k in pairs(o.gone) do gone[#gone + 1] = k end
  if #new > 0 then call('HSET', op_key(o.id), unpack(new)) end
  if #gone > 0 then call('HDEL', op_key(o.id), unpack(gone)) end
  o.new, o.gone = {}, {}
end

-- view lists the fields of the record, as they are now; what the caller has already
-- is left out.
local function view(o, all)
  local out = {}
  for k, v in pairs(o.f) do
    if k ~= 'whole' and (all or k ~= 'doc') then out[#out + 1], out[#out + 2] = k, v end
  end
  return out
end

-- Ended records whose events are out lie in pages, many to a key: the page is a part
-- of the operation id.
local function page_key(id) return P .. 'page:' .. string.sub(id, 25, 34) end
local function page_field(bin) return string.sub(bin, 1, 10) .. string.sub(bin, 16, 16) end
local function paged(id, bin)
  if unlisted then return nil end
  return call('HGET', page_key(id), page_field(bin)) or nil
end

local function outbox(id, delay) call('ZADD', P .. 'outbox', int(now + delay), id) end
