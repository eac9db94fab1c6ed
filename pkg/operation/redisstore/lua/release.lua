-- release: args gen, connection, id, attempt, spare row id, pause_ms. The call was not made: no
-- row, no attempt, and of its place in the rate what time has not given back already.
if stale() then return {'stale'} end
local o = open(args[3])
if not o or o.lease ~= args[4] then return {'ok', 0} end
local l = lane(args[2])
local back = l.interval - (us - leased_us(o))
if back > 0 then note(l, 'tat', l.tat - back) end
drop(o)
if tonumber(args[6]) > 0 then set(o, 'nb', int(now + tonumber(args[6]))) end
if not settle(o, args[5], 0) then free(o) end
save_lane(l)
look(l)
return {'ok', 1}
