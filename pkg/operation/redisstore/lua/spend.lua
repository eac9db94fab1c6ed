-- spend: ARGV gen, connection, cap, interval_us, burst. Takes a call from the lane's
-- rate for a read that belongs to no operation. Gives 0, or the ms to wait.
if stale() then return {'stale'} end
local c = ARGV[2]
set_limits(c, ARGV[3], ARGV[4], ARGV[5])
local l = lane(c)
local at = gate(l, 0)
if not at then return {'ok', 1000} end
if at > now then return {'ok', at - now} end
spend(c, l)
look(c)
return {'ok', 0}
