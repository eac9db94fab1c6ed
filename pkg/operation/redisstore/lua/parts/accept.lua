-- leave writes the lane and when it is due.
local function leave(l)
  save_lane(l)
  if l.changed then
    look(l) -- the limits may be new
  elseif l.at then
    call('ZADD', N.due, 'LT', int(max(l.at, now)), l.c)
  end
end

-- hand_over tells the worker that made the offer of a lease. It says whether somebody listens:
-- a program that is gone does not. In a cluster only this node's listeners count, though the
-- others would get it, too: so it is asked for them first. What the account may not do is no error.
local function hand_over(offer, o, attempt, lease_ms)
  local channel, ticket = match(offer, '^(%S+) (%S+)$')
  local asked, heard = pcall(call, 'PUBSUB', 'NUMSUB', channel)
  if not asked or tonumber(heard[2]) == 0 then return false end
  return (pcall(call, 'PUBLISH', channel, table.concat({ticket, int(lease_ms), o.conn, o.id, attempt,
    int(o.seq), int(o.dl), int(o.dl - now), o.f.doc}, ' ')))
end

-- accept_one takes in the operation whose arguments begin at the given place in args: id, its
-- bytes, connection, user, partner, doc, limits (see limit), bounds (life_ms, lane_bound,
-- outbox_bound, lease_ms, key_ms, max_attempts), attempt (for a sync one, or for the offer; else
-- ''), key scope ('' = none), key fingerprint, offer (the channel of a worker with a free slot, and
-- its ticket; '' = none). new says that it is not there yet.
local ACCEPT_FIELDS = 12

local function accept_one(i, new)
  local id, bin, c, user, partner, doc = args[i], args[i + 1], args[i + 2], args[i + 3], args[i + 4], args[i + 5]
  local bounds, attempt, scope, fingerprint, offer = words(args[i + 7]), args[i + 8], args[i + 9], args[i + 10], args[i + 11]
  local life_ms, lane_bound, outbox_bound, lease_ms, key_ms, most = unpack(bounds)
  local sync = attempt ~= '' and offer == ''

  if not new and call('EXISTS', op_key(id), page_key(id)) > 0 then
    local known = open(id)
    if known then return {'ok', known.seq, known.dl, size(P .. 'pend:' .. c)} end
    if paged(id, bin) then return {'replay', bin} end
  end
  if scope ~= '' then
    local row = key_row(scope, key_ms)
    if row then return {row.fingerprint == fingerprint and 'replay' or 'mismatch', row.op} end
  end
  local l = gathered and gathered.lane(c) or lane(c)
  local outstanding = size(l.pend)
  if outstanding >= lane_bound then return {'full', 'lane'} end
  if size(N.outbox) >= outbox_bound then return {'full', 'outbox'} end

  if set_limits(l, args[i + 6]) then l.changed = true end
  if sync then
    local earlier = call('ZRANGE', mail_key(c, user), '0', '0')[1]
    local at = gate(l, size(l.flight))
    if earlier or not at or at > now then
      l.changed = true
      leave(l)
      if earlier then return {'conflict', earlier} end
      if l.paused == 1 then return {'paused'} end
      return {'later', at and at - now or 1000}
    end
  end

  local seq = max(shard.seq + 1, us)
  local deadline = now + life_ms
  local o = put(l, user, partner, id, bin, doc, seq, deadline, most, sync and '1' or '0')
  if scope ~= '' then set_key(scope, fingerprint, key_ms, seq, bin) end
  local handed = 0
  if sync then
    spend(l)
    grant(l, o, attempt, lease_ms)
    l.changed = true
  else
    add(N.outbox, int(now + 2000), id)
    -- A new operation only adds needs to those that look has seen: its deadline, and
    -- its turn if it is the first of its user.
    local at = deadline
    if outstanding == 0 or call('ZCARD', mail_key(c, user)) == 1 then
      local from = gate(l, outstanding > 0 and size(l.flight) or 0)
      if offer ~= '' and from and from <= now and (outstanding == 0 or size(l.ready) == 0)
        and hand_over(offer, o, attempt, lease_ms) then
        spend(l)
        grant(l, o, attempt, lease_ms)
        at, handed = min(at, now + lease_ms), 1
      else
        add(l.ready, int(turn_of(seq)), id)
        at = min(at, from or at)
      end
    end
    l.at = min(l.at or at, at)
  end
  if gathered then
    gathered.records[#gathered.records + 1] = o
  else
    save(o)
    leave(l)
  end
  return {'ok', seq, deadline, outstanding + 1, handed}
end
