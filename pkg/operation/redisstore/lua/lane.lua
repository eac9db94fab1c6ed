-- lane: ARGV '', connection, most operations. What the lane holds; it writes nothing.
local c, most = ARGV[2], tonumber(ARGV[3])
local l = lane(c)
local flight = P .. 'flight:' .. c
local inflight = call('ZCARD', flight)
local calls = {}
for _, id in ipairs(call('ZRANGE', flight, 0, most - 1)) do
  local v = call('HMGET', op_key(id), 'lease', 'leased_us')
  calls[#calls + 1] = {id, v[1] or '', v[2] or '0', call('ZSCORE', flight, id)}
end
return {
  call('GET', P .. 'gen') or '', call('EXISTS', P .. 'lane:' .. c), int(now),
  call('HGET', P .. 'lane:' .. c, 'seq') or '0', call('ZCARD', P .. 'pend:' .. c),
  call('ZCARD', P .. 'ready:' .. c), call('ZCOUNT', P .. 'ready:' .. c, '-inf', int(now)), inflight, calls,
  int(l.cap), int(l.interval), int(l.burst), int(l.blocked), int(l.open), int(l.fails), l.paused and 1 or 0,
  int(tonumber(call('ZSCORE', P .. 'due', c) or 0)), int(gate(l, inflight) or -1),
}
