-- acked: ARGV gen, ttl_s, then for each operation: id, its bytes, accepted (0|1), rows, row_version, final
-- (0|1), the whole record for its page ('' = not at hand). What the streams have
-- confirmed. With everything confirmed the operation leaves the outbox, and only then
-- does an ended record get a time to live.
if stale() then return {'stale'} end
local ttl, done = ARGV[2], 0

local function acked(id, bin, more_accepted, more_rows, version, more_final, whole)
  local v = call('HMGET', op_key(id), 'st', 'rows', 'row_version', 'acked_rows', 'acked_accepted', 'acked_final', 'who')
  if not v[1] then
    -- A page whose record was amended waits for the event that tells it.
    local page = paged(id, bin)
    if not page or page == whole then call('ZREM', P .. 'outbox', id) end
    return true
  end
  local accepted, final = v[5] == '1' or string.sub(v[7], -1) == '1', v[6] == '1'
  local rows, known = tonumber(v[2] or 0), tonumber(v[4] or 0)
  local new = {}
  if more_accepted == '1' and not accepted then
    accepted, new[1], new[2] = true, 'acked_accepted', '1'
  end
  local same = version == (v[3] or '0')
  if same and tonumber(more_rows) > known then
    known, new[#new + 1], new[#new + 2] = tonumber(more_rows), 'acked_rows', more_rows
  end
  if more_final == '1' and not final then
    final, new[#new + 1], new[#new + 2] = true, 'acked_final', '1'
  end
  local all = accepted and known >= rows and (final or v[1] == 'pending')
  if all and final and not unlisted then
    all = whole ~= '' and same and tonumber(more_rows) == rows
    if all then
      call('HSET', page_key(id), page_field(bin), whole)
      call('EXPIRE', page_key(id), ttl)
      call('DEL', op_key(id))
    end
  end
  if #new > 0 and not (all and final and not unlisted) then call('HSET', op_key(id), unpack(new)) end
  if not all then return false end
  if final and unlisted then call('EXPIRE', op_key(id), ttl) end
  call('ZREM', P .. 'outbox', id)
  return true
end

for k = 3, #ARGV, 7 do
  if acked(unpack(ARGV, k, k + 6)) then done = done + 1 end
end
return {'ok', done}
