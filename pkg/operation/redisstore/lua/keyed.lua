-- keyed: args gen, key scope, key fingerprint, key_ms. Which operation an idempotency key stands
-- for. It writes nothing.
if stale() then return {'stale'} end
local row = key_row(args[2], tonumber(args[4]))
if not row then return {'missing'} end
return {row.fingerprint == args[3] and 'replay' or 'mismatch', row.op}
