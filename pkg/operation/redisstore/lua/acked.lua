-- acked: ARGV gen, id, accepted (0|1), rows, row_version, final (0|1), ttl_s. What a
-- stream has confirmed. With everything confirmed the operation leaves the outbox,
-- and only then does an ended record get a time to live.
if stale() then return {'stale'} end
local id = ARGV[2]
local key = op_key(id)
local v = call('HMGET', key, 'st', 'rows', 'row_version', 'acked_rows', 'acked_accepted', 'acked_final', 'sync')
if not v[1] then
  call('ZREM', P .. 'outbox', id)
  return {'ok', 1}
end
local accepted, final = v[5] == '1' or v[7] == '1', v[6] == '1'
local rows, acked = tonumber(v[2] or 0), tonumber(v[4] or 0)
if ARGV[3] == '1' and not accepted then
  accepted = true
  call('HSET', key, 'acked_accepted', '1')
end
if ARGV[5] == (v[3] or '0') and tonumber(ARGV[4]) > acked then
  acked = tonumber(ARGV[4])
  call('HSET', key, 'acked_rows', ARGV[4])
end
if ARGV[6] == '1' and not final then
  final = true
  call('HSET', key, 'acked_final', '1')
end
if accepted and acked >= rows and (final or v[1] == 'pending') then
  call('ZREM', P .. 'outbox', id)
  if final then call('EXPIRE', key, ARGV[7]) end
  return {'ok', 1}
end
return {'ok', 0}
