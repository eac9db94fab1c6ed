-- release: ARGV gen, connection, id, attempt, spare row id, pause_ms. The call was not made: no
-- row, no attempt, and of its place in the rate what time has not given back already.
if stale() then return {'stale'} end
local c, id, attempt = ARGV[2], ARGV[3], ARGV[4]
local v = call('HMGET', op_key(id), 'user', 'lease', 'mark', 'leased_us')
if v[2] ~= attempt then return {'ok', 0} end
drop(c, v[1], id, attempt)
local l = lane(c)
local back = l.interval - (us - tonumber(v[4]))
if back > 0 then call('HSET', P .. 'lane:' .. c, 'tat', int(l.tat - back)) end
if tonumber(ARGV[6]) > 0 then call('HSET', op_key(id), 'nb', int(now + tonumber(ARGV[6]))) end
if not settle(c, v[1], id, v[3], ARGV[5], 0) then head(c, v[1]) end
look(c)
return {'ok', 1}
