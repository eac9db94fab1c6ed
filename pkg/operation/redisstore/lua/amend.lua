-- amend: args gen, id, its bytes, connection, the record that the page holds, the record that it
-- shall hold, block_ms with reach, breaker_threshold and breaker_ms. A call that ended after
-- everything else completes its row.
if stale() then return {'stale'} end
if paged(args[2], args[3]) ~= args[5] then return {'changed'} end
call('HSET', page_key(args[2]), page_field(args[3]), args[6])
outbox(args[2], 2000)
local l = lane(args[4])
reached(l, unpack(words(args[7])))
save_lane(l)
local due = look(l)
return {'ok', (due and due <= now) and 1 or 0}
