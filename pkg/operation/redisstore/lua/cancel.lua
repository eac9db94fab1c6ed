-- cancel: ARGV gen, id, spare row id
if stale() then return {'stale'} end
local id = ARGV[2]
local v = call('HMGET', op_key(id), 'st', 'conn', 'user', 'lease')
if not v[1] then return {'missing'} end
if v[1] ~= 'pending' then return {'ended', call('HGETALL', op_key(id))} end
if v[4] then
  call('HSETNX', op_key(id), 'mark', 'cancel')
  return {'marked', call('HGETALL', op_key(id))}
end
explain(id, ARGV[3], CANCELLED)
finish(v[2], v[3], id, 'failed', 0)
look(v[2])
return {'ok', call('HGETALL', op_key(id))}
