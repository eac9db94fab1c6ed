-- older: args '', token, connection, user, seq, most, spare row id. A newer write of the
-- user has already gone to the provider: running an older one would overwrite it.
if call('GET', N.rebuild) ~= args[2] then return {'lost'} end
if us - tonumber(args[5]) < GONE_RECENT then note_gone(args[3], args[4], args[5]) end
local n = overtake(args[3], args[4], args[5], args[7], args[6], true)
if n > 0 then look(lane(args[3])) end
return {'ok', n}
