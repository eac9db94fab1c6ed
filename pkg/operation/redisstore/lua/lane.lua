-- lane: args '', connection, most operations. What the lane holds; it writes nothing.
local c, most = args[2], tonumber(args[3])
local l = lane(c)
local inflight = call('ZCARD', l.flight)
local calls = {}
for _, member in ipairs(call('ZRANGE', l.flight, 0, most - 1)) do
  local id = sub(member, 1, 36)
  local lease = call('HGET', op_key(id), 'lease') or ''
  calls[#calls + 1] = {id, sub(member, 38), lease ~= '' and sub(lease, 38) or '0', call('ZSCORE', l.flight, member)}
end
return {
  call('GET', N.gen) or '', call('EXISTS', l.key), now,
  longest(l) or 0, call('ZCARD', l.pend),
  call('ZCARD', l.ready), call('ZCOUNT', l.ready, '-inf', int(turns_by())), inflight, calls,
  l.cap, l.interval, l.burst, l.blocked, l.open, l.fails, l.paused,
  tonumber(call('ZSCORE', N.due, c) or 0), gate(l, inflight) or -1,
}
