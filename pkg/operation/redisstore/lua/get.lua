-- get: ARGV gen, id, its bytes. The record, and what is needed to say why it waits.
if stale() then return {'stale'} end
local id = ARGV[2]
local o = open(id)
if not o then
  local page = paged(id, ARGV[3])
  if page then return {'paged', page} end
  -- While older history is still on its way back, nobody knows.
  if call('EXISTS', P .. 'history') == 1 then return {'stale'} end
  return {'missing'}
end
if o.f.st ~= 'pending' or o.f.lease then return {'ok', view(o, true)} end
local first = call('ZRANGE', mail_key(o.conn, o.user), 0, 1)
local l = lane(o.conn)
local rate = 0
if l.interval > 0 then rate = math.ceil((l.tat - l.interval * (l.burst - 1)) / 1000) end
return {'ok', view(o, true), {(first[1] == HELD and first[2] or first[1]) or '', call('ZSCORE', P .. 'ready:' .. o.conn, id) or '',
  int(l.blocked), int(l.open), int(rate), int(l.paused), int(now)}}
