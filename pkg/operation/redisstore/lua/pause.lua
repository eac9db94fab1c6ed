-- pause: args gen, connection, paused (0|1)
if stale() then return {'stale'} end
local l = lane(args[2])
note(l, 'paused', tonumber(args[3]))
save_lane(l)
look(l)
return {'ok'}
