-- older: ARGV '', token, connection, user, seq, n, n row ids. A newer write of the
-- user has already gone to the provider: running an older one would overwrite it.
if call('GET', P .. 'rebuild') ~= ARGV[2] then return {'lost'} end
local c, user, n = ARGV[3], ARGV[4], 0
for _, id in ipairs(call('ZRANGEBYSCORE', mail_key(c, user), '-inf', '(' .. ARGV[5], 'LIMIT', 0, ARGV[6])) do
  local lease = call('HGET', op_key(id), 'lease')
  if lease then drop(c, user, id, lease) end
  n = n + 1
  explain(id, ARGV[6 + n], 'not written: a newer update of this user had already gone')
  finish(c, user, id, 'failed', 0)
end
return {'ok', n}
