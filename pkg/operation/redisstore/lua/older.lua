-- older: args '', token, connection, user, seq, most, spare row id. A newer write of the
-- user has already gone to the provider: running an older one would overwrite it.
if call('GET', N.rebuild) ~= args[2] then return {'lost'} end
local c, user, n = args[3], args[4], 0
for _, id in ipairs(call('ZRANGEBYSCORE', mail_key(c, user), 0, '(' .. args[5], 'LIMIT', 0, args[6])) do
  local o = open(id)
  if o.lease then drop(o) end
  n = n + 1
  explain(o, spare(args[7], n), OVERTAKEN)
  finish(o, 'failed', 0)
end
if n > 0 then look(lane(c)) end
return {'ok', n}
