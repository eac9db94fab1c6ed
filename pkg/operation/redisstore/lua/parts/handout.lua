-- handout gives ready heads out, at most one for each attempt id, as far as room and
-- rate last. again says that the script may have run before: what has gone out under
-- one of the ids is given again, since the first reply was lost.
local function handout(l, attempts, lease_ms, again)
  local c, leases, unused = l.c, {}, attempts
  local function hand(o)
    leases[#leases + 1] = {o.id, o.f.lease, o.f.doc, o.f.seq, o.f.dl, int(tonumber(o.f.dl) - now),
      o.f.attempted or '0', o.f.renew or '0', o.f['repeat'] or '0'}
  end
  if again and #attempts > 0 then
    unused = {}
    local out = {}
    for _, m in ipairs(call('ZRANGE', flight_key(c), 0, -1)) do out[string.sub(m, 38)] = string.sub(m, 1, 36) end
    for _, attempt in ipairs(attempts) do
      local o = out[attempt] and open(out[attempt])
      if o then hand(o) else unused[#unused + 1] = attempt end
    end
  end
  if #unused == 0 then return leases end
  local inflight = call('ZCARD', flight_key(c))
  local at = gate(l, inflight)
  if not at or at > now then return leases end
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'ready:' .. c, '-inf', int(now), 'LIMIT', 0, #unused)) do
    at = gate(l, inflight)
    if not at or at > now then break end
    local o = open(id)
    if not o then
      call('ZREM', P .. 'ready:' .. c, id)
    elseif tonumber(o.f.dl) > now then -- else next ends it
      spend(l)
      grant(l, o, table.remove(unused), lease_ms)
      save(o)
      inflight = inflight + 1
      hand(o)
    end
  end
  return leases
end
