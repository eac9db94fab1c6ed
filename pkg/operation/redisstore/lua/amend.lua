-- amend: ARGV gen, id, its bytes, connection, the record that the page holds, the record that it
-- shall hold, block_ms, reach, breaker_threshold, breaker_ms. A call that ended after
-- everything else completes its row.
if stale() then return {'stale'} end
if paged(ARGV[2], ARGV[3]) ~= ARGV[5] then return {'changed'} end
call('HSET', page_key(ARGV[2]), page_field(ARGV[3]), ARGV[6])
outbox(ARGV[2], 2000)
local l = lane(ARGV[4])
reached(l, ARGV[7], ARGV[8], ARGV[9], ARGV[10])
save_lane(l)
local due = look(l)
return {'ok', (due and due <= now) and 1 or 0}
