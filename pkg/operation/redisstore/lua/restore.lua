-- restore: ARGV '', token, token_ms, id, connection, user, partner, doc, seq, deadline,
-- max_attempts, sync, status ('' = not known to have ended), updated_us, attempted,
-- blocked_ms, next_ms, key scope, key fingerprint, key_ms, ttl_s, n, then n times:
-- attempt id, row, unknown (0|1), success (0|1)
-- Puts back what a stream says of one operation: inserts what is missing, never
-- takes anything back. Only the holder of the shard's rebuild token may.
if call('GET', P .. 'rebuild') ~= ARGV[2] then return {'lost'} end
call('PEXPIRE', P .. 'rebuild', ARGV[3])
local id, c, user = ARGV[4], ARGV[5], ARGV[6]
local key = op_key(id)
local made = 0
if call('EXISTS', key) == 0 then
  put(c, user, ARGV[7], id, ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11], ARGV[12])
  -- A call of it may have been under way when the data was lost.
  call('HSET', key, 'repeat', '1')
  made = 1
end
user = call('HGET', key, 'user')
call('HSET', key, 'acked_accepted', '1')

local v = call('HMGET', key, 'st', 'lease', 'attempted')
local status, lease = v[1], v[2]
local success = false
for k = 1, tonumber(ARGV[22]) do
  local at = 22 + (k - 1) * 4
  local attempt = ARGV[at + 1]
  write_row(id, attempt, ARGV[at + 2], ARGV[at + 3] == '1')
  if ARGV[at + 4] == '1' then success = true end
  if lease == attempt then
    drop(c, user, id, attempt)
    lease = false
  end
end
if tonumber(ARGV[22]) > 0 then call('HSET', key, 'acked_rows', call('HGET', key, 'rows')) end
if tonumber(ARGV[15]) > tonumber(v[3] or 0) then call('HSET', key, 'attempted', ARGV[15]) end
if tonumber(ARGV[16]) > lane(c).blocked then call('HSET', P .. 'lane:' .. c, 'blocked', ARGV[16]) end
keep_key(ARGV[18], ARGV[19], ARGV[20], id)

if status == 'pending' then
  if ARGV[13] ~= '' or success then
    if lease then drop(c, user, id, lease) end
    finish(c, user, id, ARGV[13] ~= '' and ARGV[13] or 'success', 0)
  else
    if tonumber(ARGV[17]) > tonumber(call('HGET', key, 'nb') or 0) then
      call('HSET', key, 'nb', ARGV[17])
      call('ZREM', P .. 'ready:' .. c, id) -- its score is its turn
    end
    head(c, user)
  end
end
if ARGV[13] ~= '' then
  call('HSET', key, 'acked_final', '1', 'upd', ARGV[14])
  call('ZREM', P .. 'outbox', id)
  call('EXPIRE', key, ARGV[21])
end
-- While a shard is filled, commit looks at its lanes. Older history comes after that: an
-- end that it brings to a pending operation makes the next of its mailbox ready.
if made == 0 and status == 'pending' and call('EXISTS', P .. 'gen') == 1 then look(c) end
return {'ok', made}
