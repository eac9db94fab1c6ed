-- record: args gen, connection, id, its bytes, attempt, row, verdict (success|again|renew|fail) with
-- delay_ms, block_ms, reach (answered|unreached|uncalled) and what credentials were refused, bounds
-- (breaker_threshold, breaker_ms, lease_ms), doc wanted (0|1), spare row id, resource id and source id of a user it
-- created ('' = none), then attempt ids for more work of the lane. The answer leaves
-- out the row that the caller brought, and says where it stands.
if stale() then return {'stale'} end
local c, id, attempt = args[2], args[3], args[5]
local verdict, delay_ms, block_ms, reach, refused = unpack(words(args[7]))
local threshold, breaker_ms, lease_ms = unpack(words(args[8]))
local o = open(id)
if not o then
  local page = paged(id, args[4])
  if page then return {'paged', page} end
  return {'missing'}
end
local l = lane(c)
local was_pending = pending(o)

local fresh = write_row(o, attempt, args[6])
local held = o.lease == attempt
created(o, args[11], args[12])
if held then
  drop(o)
  set(o, 'attempted', int(tonumber(o.f.attempted or 0) + 1))
  unset(o, 'repeat')
  unset(o, 'renew')
end
if fresh then
  set(o, 'upd', int(us))
  reached(l, block_ms, reach, threshold, breaker_ms)
end

-- It has gone, and the shard has lost its data once.
if reach ~= 'uncalled' and closed() > 0 then overtake(o.conn, o.user, o.seq, args[10], MOST_OVERTAKEN) end
if reach ~= 'uncalled' and remembers_gone() then note_gone(o.conn, o.user, o.seq) end
if held then
  if verdict == 'success' then
    finish(o, 'success', 2000)
  elseif verdict == 'fail' and not o.f.mark then
    finish(o, 'failed', 2000)
  elseif not settle(o, spare(args[10], 0), 2000) then -- a mark decides
    if verdict == 'renew' then set(o, 'renew', refused) end
    set(o, 'nb', int(now + delay_ms))
    free(o)
  end
elseif verdict == 'success' and was_pending then
  -- A late success counts: at once if nothing of it is being called, else when
  -- that call's lease ends.
  if o.lease then set(o, 'mark', 'success') else finish(o, 'success', 2000) end
end
if fresh and (pending(o) or not was_pending) then outbox(id, 2000) end -- else finish did that
save(o)

local attempts = {}
for k = 13, #args do attempts[#attempts + 1] = args[k] end
local leases = handout(l, attempts, lease_ms, not fresh, args[10])
save_lane(l)
local due = look(l)
return {'ok', held and 'held' or (fresh and 'late' or 'again'), (due and due <= now) and 1 or 0,
  view(o, args[9] == '1', fresh and 'r:' .. fresh), l.blocked, leases, fresh or 0}
