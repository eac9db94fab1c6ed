-- spend: args gen, connection, limits. Takes a call from the lane's
-- rate for a read that belongs to no operation. Gives 0, or the ms to wait, or that the lane
-- is paused.
if stale() then return {'stale'} end
local l = lane(args[2])
set_limits(l, args[3])
local at = gate(l, 0)
if at and at <= now then spend(l) end
save_lane(l)
look(l)
if not at then return {'paused'} end
return {'ok', max(0, at - now)}
