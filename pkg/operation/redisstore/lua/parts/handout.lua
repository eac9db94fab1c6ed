-- hand tells of one lease.
local function hand(leases, o)
  local f = o.f
  leases[#leases + 1] = {o.id, o.lease, f.doc, o.seq, o.dl, tonumber(o.dl) - now, f.attempted or 0, f.renew or '', f['repeat'] or '0'}
end

-- Of the row ids that a caller gives, those from LATE_ROWS on are for what came back too late.
local LATE_ROWS, MOST_LATE = 200, 50

-- handout gives ready heads out, at most one for each attempt id, as far as room and
-- rate last. again says that they may have been asked for before: what has gone out under
-- one of the ids is given again, since the first reply was lost. base is for the ids of rows.
local function handout(l, attempts, lease_ms, again, base)
  local leases, unused = {}, attempts
  if #attempts == 0 then return leases end
  if again and count_calls(l) > 0 then
    unused = {}
    local out = {}
    for _, m in ipairs(call('ZRANGE', l.flight, 0, -1)) do out[sub(m, 38)] = sub(m, 1, 36) end
    for _, attempt in ipairs(attempts) do
      local o = out[attempt] and open(out[attempt])
      if o then hand(leases, o) else unused[#unused + 1] = attempt end
    end
  end
  if #unused == 0 then return leases end
  local at = gate(l, count_calls(l))
  if not at or at > now then return leases end
  local most, late, by = #unused, 0, turns_by()
  local heads = call('ZRANGE', l.ready, '0', int(most), 'WITHSCORES') -- one more: what remains
  if #heads <= 2 * most then l.turn = false end
  for i = 1, #heads, 2 do
    local id, turn = heads[i], tonumber(heads[i + 1])
    at = gate(l, l.inflight)
    if #unused == 0 or turn > by or not at or at > now then
      l.turn = l.turn or turn
      break
    end
    local o = open(id)
    if not o then
      call('ZREM', l.ready, id)
    elseif too_late(o) then
      if late < MOST_LATE then
        explain(o, spare(base, LATE_ROWS + late), OVERTAKEN)
        finish(o, 'failed', 0) -- the next of its mailbox is ready then
      end
      late = late + 1
    elseif tonumber(o.dl) > now then
      spend(l)
      call('ZREM', l.ready, id)
      grant(l, o, table.remove(unused), lease_ms)
      save(o)
      l.inflight = l.inflight + 1
      if l.inflight == 1 then
        l.lease_end = now + lease_ms
      elseif l.lease_end then
        l.lease_end = min(l.lease_end, now + lease_ms)
      end
      hand(leases, o)
    else -- next ends it
      l.turn = l.turn or turn
    end
  end
  if late > 0 then l.turn, l.deadline = nil, nil end -- look reads them again
  return leases
end
