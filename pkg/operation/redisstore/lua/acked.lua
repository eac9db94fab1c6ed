-- acked: args gen, ttl_s, then for each operation: id, its bytes, accepted (0|1), rows, row_version, final
-- (0|1), the whole record for its page ('' = not at hand). What the streams have
-- confirmed. With everything confirmed the operation leaves the outbox, and only then
-- does an ended record get a time to live.
if stale() then return {'stale'} end
local ttl, done = tonumber(args[2]), 0
-- What leaves is collected, and written for all at once: fields by page, records, ids.
local pages, gone, said = {}, {}, {}

local function acked(id, bin, more_accepted, more_rows, version, more_final, whole)
  local v = call('HMGET', op_key(id), 'st', 'rows', 'row_version', 'acked_rows', 'acked_accepted', 'acked_final', 'who', 'whole')
  if not v[7] then
    -- A page whose record was amended waits for the event that tells it.
    local page = paged(id, bin)
    if not page or page == whole then said[#said + 1] = id end
    return true
  end
  local accepted, final = v[5] == '1' or sub(v[7], -1) == '1', v[6] == '1' -- who says of sync
  local rows, known = tonumber(v[2] or 0), tonumber(v[4] or 0)
  local new = {}
  local function learn(name, value) new[#new + 1], new[#new + 2] = name, value end
  if more_accepted == '1' and not accepted then
    accepted = true
    learn('acked_accepted', '1')
  end
  local same = version == (v[3] or '0')
  if same and tonumber(more_rows) > known then
    known = tonumber(more_rows)
    learn('acked_rows', more_rows)
  end
  if more_final == '1' and not final and same and tonumber(more_rows) == rows then
    final = true
    learn('acked_final', '1')
  end
  local all = accepted and known >= rows and (final or not v[1])
  if not v[1] or unlisted then
    if #new > 0 then call('HSET', op_key(id), unpack(new)) end
    if not all then return false end
    if final then call('EXPIRE', op_key(id), ttl) end
    said[#said + 1] = id
    return true
  end
  -- What its page will hold came with its final event, maybe before the rest.
  local of = (v[3] or '0') .. ' ' .. rows .. ' '
  if whole == '' or not same or tonumber(more_rows) ~= rows then
    whole = v[8] and sub(v[8], 1, #of) == of and sub(v[8], #of + 1) or ''
  elseif not all then
    learn('whole', of .. whole)
  end
  if not all or whole == '' then
    if #new > 0 then call('HSET', op_key(id), unpack(new)) end
    return false
  end
  local key = page_key(id)
  local fields = pages[key] or {}
  pages[key] = fields
  fields[#fields + 1], fields[#fields + 2] = page_field(bin), whole
  gone[#gone + 1], said[#said + 1] = op_key(id), id
  return true
end

for k = 3, #args, 7 do
  if acked(unpack(args, k, k + 6)) then done = done + 1 end
end
for key, fields in pairs(pages) do write_page(key, ttl, unpack(fields)) end
if gone[1] then call('DEL', unpack(gone)) end
if said[1] then call('ZREM', N.outbox, unpack(said)) end
return {'ok', done}
