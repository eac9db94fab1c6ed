-- claim: ARGV gen, most, hold_ms. Operations of which something is overdue in a
-- stream; each is put off, so that two publishers seldom take the same one.
if stale() then return {'stale'} end
local out = {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'outbox', '-inf', int(now), 'LIMIT', 0, ARGV[2])) do
  local record = call('HGETALL', op_key(id))
  if #record == 0 then
    call('ZREM', P .. 'outbox', id)
  else
    outbox(id, tonumber(ARGV[3]))
    local c = call('HGET', op_key(id), 'conn')
    out[#out + 1] = {id, record, call('HGET', P .. 'lane:' .. c, 'blocked') or '0'}
  end
end
return {'ok', out}
