-- keep: ARGV gen, id, its bytes, connection, partner, seq, the whole record, ttl_s, key scope ('' = none),
-- key fingerprint, key_ms. Puts an ended operation back whose record is gone.
if stale() then return {'stale'} end
local id, bin, seq = ARGV[2], ARGV[3], tonumber(ARGV[6])
if call('EXISTS', op_key(id)) == 1 or paged(id, bin) then return {'ok', 0} end
local l = lane(ARGV[4])
index(ARGV[5], seq, bin)
keep_key(ARGV[9], ARGV[10], ARGV[11], seq, bin)
call('HSET', page_key(id), page_field(bin), ARGV[7])
call('EXPIRE', page_key(id), ARGV[8])
if seq > l.seq then note(l, 'seq', seq) end
save_lane(l)
return {'ok', 1}
