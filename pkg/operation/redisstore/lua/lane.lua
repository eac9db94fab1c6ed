-- lane: ARGV '', connection, most operations. What the lane holds; it writes nothing.
local c, most = ARGV[2], tonumber(ARGV[3])
local l = lane(c)
local flight = flight_key(c)
local inflight = call('ZCARD', flight)
local calls = {}
for _, member in ipairs(call('ZRANGE', flight, 0, most - 1)) do
  local id = string.sub(member, 1, 36)
  calls[#calls + 1] = {id, string.sub(member, 38), call('HGET', op_key(id), 'leased_us') or '0', call('ZSCORE', flight, member)}
end
return {
  call('GET', P .. 'gen') or '', call('EXISTS', P .. 'lane:' .. c), int(now),
  int(l.seq), call('ZCARD', P .. 'pend:' .. c),
  call('ZCARD', P .. 'ready:' .. c), call('ZCOUNT', P .. 'ready:' .. c, '-inf', int(now)), inflight, calls,
  int(l.cap), int(l.interval), int(l.burst), int(l.blocked), int(l.open), int(l.fails), int(l.paused),
  int(tonumber(call('ZSCORE', P .. 'due', c) or 0)), int(gate(l, inflight) or -1),
}
