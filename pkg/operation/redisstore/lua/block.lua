-- block: args gen, connection, ms. Holds the lane's calls back for so long from now;
-- a block that ends later stays.
if stale() then return {'stale'} end
local l, till = lane(args[2]), now + tonumber(args[3])
if till > l.blocked then note(l, 'blocked', till) end
save_lane(l)
look(l)
return {'ok'}
