-- get: args gen, id, its bytes. The record, and what is needed to say why it waits.
if stale() then return {'stale'} end
local id = args[2]
local o = open(id)
if not o then
  local page = paged(id, args[3])
  if page then return {'paged', page} end
  -- While older history is still on its way back, nobody knows.
  if call('EXISTS', N.history) == 1 then return {'stale'} end
  return {'missing'}
end
if not pending(o) or o.lease then return {'ok', view(o, true)} end
local head_id = call('ZRANGE', mail_key(o.conn, o.user), 0, 0)[1]
local l = lane(o.conn)
local rate = 0
if l.interval > 0 then rate = math.ceil((l.tat - l.interval * (l.burst - 1)) / 1000) end
return {'ok', view(o, true), {head_id or '', o.f.nb or '', l.blocked, l.open, rate, l.paused, now}}
