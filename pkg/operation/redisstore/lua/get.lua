-- get: ARGV gen, id. The record, and what is needed to say why it waits.
if stale() then return {'stale'} end
local id = ARGV[2]
local record = call('HGETALL', op_key(id))
if #record == 0 then
  -- While older history is still on its way back, nobody knows.
  if call('EXISTS', P .. 'history') == 1 then return {'stale'} end
  return {'missing'}
end
local v = call('HMGET', op_key(id), 'st', 'conn', 'user', 'lease')
if v[1] ~= 'pending' or v[4] then return {'ok', record} end
local c = v[2]
local first = call('ZRANGE', mail_key(c, v[3]), 0, 0)[1] or ''
local l = lane(c)
local rate = 0
if l.interval > 0 then rate = math.ceil((l.tat - l.interval * (l.burst - 1)) / 1000) end
return {'ok', record, {first, call('ZSCORE', P .. 'ready:' .. c, id) or '', int(l.blocked), int(l.open), int(rate),
  l.paused and '1' or '0', int(now)}}
