-- claim: args gen, most, hold_ms. Operations of which something is overdue in a
-- stream; each is put off, so that two publishers seldom take the same one.
if stale() then return {'stale'} end
local function bytes(id)
  return (string.gsub(string.gsub(id, '-', ''), '%x%x', function(h) return string.char(tonumber(h, 16)) end))
end
local out = {}
for _, id in ipairs(call('ZRANGEBYSCORE', N.outbox, '-inf', now, 'LIMIT', 0, args[2])) do
  local o = open(id)
  local page = not o and paged(id, bytes(id))
  if o then
    out[#out + 1] = {id, view(o, true), call('HGET', P .. 'lane:' .. o.conn, 'blocked') or '0'}
  elseif page then
    out[#out + 1] = {id, page, '0'}
  end
  if o or page then outbox(id, tonumber(args[3])) else call('ZREM', N.outbox, id) end
end
return {'ok', out}
