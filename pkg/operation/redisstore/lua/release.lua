-- release: ARGV gen, connection, id, attempt. The call was not made: no row, no
-- attempt, and its place in the rate is given back.
if stale() then return {'stale'} end
local c, id, attempt = ARGV[2], ARGV[3], ARGV[4]
local v = call('HMGET', op_key(id), 'user', 'lease', 'mark')
if v[2] ~= attempt then return {'ok', 0} end
drop(c, v[1], id, attempt)
local l = lane(c)
if l.interval > 0 then call('HSET', P .. 'lane:' .. c, 'tat', int(l.tat - l.interval)) end
if not settle(c, v[1], id, v[3], ARGV[5], 0) then head(c, v[1]) end
look(c)
return {'ok', 1}
