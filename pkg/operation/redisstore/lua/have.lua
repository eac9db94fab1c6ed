-- have: args gen, connection, id, its bytes. Whether there is a record of the operation, and
-- whether somebody must look at its lane now.
if stale() then return {'stale'} end
if call('EXISTS', op_key(args[3])) == 0 and not paged(args[3], args[4]) then return {'ok', 0, 0} end
local due = tonumber(call('ZSCORE', N.due, args[2]) or nil)
return {'ok', 1, due and due <= now and 1 or 0}
