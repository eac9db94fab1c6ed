-- cancel: args gen, id, its bytes, spare row id
if stale() then return {'stale'} end
local o = open(args[2])
if not o then
  local page = paged(args[2], args[3])
  if page then return {'paged', page} end
  return {'missing'}
end
if not pending(o) then -- it may have come before
  return {row_of(o, args[4]) and 'ok' or 'ended', view(o, true)}
end
if o.lease then
  if not o.f.mark then set(o, 'mark', 'cancel') end
  save(o)
  return {'marked', view(o, true)}
end
explain(o, args[4], CANCELLED)
finish(o, 'failed', 0)
look(lane(o.conn))
return {'ok', view(o, true)}
