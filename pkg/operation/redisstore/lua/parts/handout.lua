-- hand tells of one lease.
local function hand(leases, o)
  local f = o.f
  leases[#leases + 1] = {o.id, o.lease, f.doc, o.seq, o.dl, tonumber(o.dl) - now, f.attempted or 0, f.renew or '0', f['repeat'] or '0'}
end

-- handout gives ready heads out, at most one for each attempt id, as far as room and
-- rate last. again says that the script may have run before: what has gone out under
-- one of the ids is given again, since the first reply was lost.
local function handout(l, attempts, lease_ms, again)
  local leases, unused = {}, attempts
  if #attempts == 0 then return leases end
  local inflight = call('ZCARD', l.flight)
  if again and inflight > 0 then
    unused = {}
    local out = {}
    for _, m in ipairs(call('ZRANGE', l.flight, 0, -1)) do out[sub(m, 38)] = sub(m, 1, 36) end
    for _, attempt in ipairs(attempts) do
      local o = out[attempt] and open(out[attempt])
      if o then hand(leases, o) else unused[#unused + 1] = attempt end
    end
  end
  if #unused == 0 then return leases end
  local at = gate(l, inflight)
  if not at or at > now then return leases end
  for _, id in ipairs(call('ZRANGEBYSCORE', l.ready, '-inf', now, 'LIMIT', 0, #unused)) do
    at = gate(l, inflight)
    if not at or at > now then break end
    local o = open(id)
    if not o then
      call('ZREM', l.ready, id)
    elseif tonumber(o.dl) > now then -- else next ends it
      spend(l)
      call('ZREM', l.ready, id)
      grant(l, o, table.remove(unused), lease_ms)
      save(o)
      inflight = inflight + 1
      hand(leases, o)
    end
  end
  return leases
end
