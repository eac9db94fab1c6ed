-- older: ARGV '', token, connection, user, seq, most, spare row id. A newer write of the
-- user has already gone to the provider: running an older one would overwrite it.
if call('GET', P .. 'rebuild') ~= ARGV[2] then return {'lost'} end
local c, user, n = ARGV[3], ARGV[4], 0
for _, id in ipairs(call('ZRANGEBYSCORE', mail_key(c, user), 0, '(' .. ARGV[5], 'LIMIT', 0, ARGV[6])) do
  local o = open(id)
  if o.f.lease then drop(o) end
  n = n + 1
  explain(o, spare(ARGV[7], n), 'not written: a newer update of this user had already gone')
  finish(o, 'failed', 0)
end
if n > 0 then look(lane(c)) end
return {'ok', n}
