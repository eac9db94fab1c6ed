-- pause: ARGV gen, connection, paused (0|1)
if stale() then return {'stale'} end
local l = lane(ARGV[2])
note(l, 'paused', tonumber(ARGV[3]))
save_lane(l)
look(l)
return {'ok'}
