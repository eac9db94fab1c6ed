-- keep: args gen, id, its bytes, partner, seq, the whole record, ttl_s, key scope ('' = none), key
-- fingerprint, key_ms. Puts an ended operation back whose record is gone.
if stale() then return {'stale'} end
local id, bin, seq = args[2], args[3], tonumber(args[5])
if call('EXISTS', op_key(id)) == 1 or paged(id, bin) then return {'ok', 0} end
index(args[4], seq, bin)
keep_key(args[8], args[9], args[10], seq, bin)
to_page(id, bin, args[6], args[7])
return {'ok', 1}
