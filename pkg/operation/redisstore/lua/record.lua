-- record: ARGV gen, connection, id, its bytes, attempt, verdict (success|again|renew|fail), row,
-- delay_ms, block_ms, reach (answered|unreached|uncalled), breaker_threshold, breaker_ms, spare row id,
-- resource id and source id of a user it created ('' = none), doc wanted (0|1), lease_ms,
-- then attempt ids for more work of the lane
if stale() then return {'stale'} end
local c, id, attempt, verdict = ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local o = open(id)
if not o then
  local page = paged(id, ARGV[4])
  if page then return {'paged', page} end
  return {'missing'}
end
local l = lane(c)
local was = o.f.st

local fresh = write_row(o, attempt, ARGV[7])
local held = o.f.lease == attempt
if ARGV[15] ~= '' then
  set(o, 'resource_id', ARGV[14])
  set(o, 'source_id', ARGV[15])
end
if held then
  drop(o)
  set(o, 'attempted', int(tonumber(o.f.attempted or 0) + 1))
  unset(o, 'repeat')
  unset(o, 'renew')
end
if fresh then
  set(o, 'upd', int(us))
  outbox(id, 2000)
  reached(l, ARGV[9], ARGV[10], ARGV[11], ARGV[12])
end

if held then
  if verdict == 'success' then
    finish(o, 'success', 2000)
  elseif verdict == 'fail' and not o.f.mark then
    finish(o, 'failed', 2000)
  elseif not settle(o, ARGV[13], 2000) then -- a mark decides
    if verdict == 'renew' then set(o, 'renew', '1') end
    set(o, 'nb', int(now + tonumber(ARGV[8])))
    free(o)
  end
elseif verdict == 'success' and was == 'pending' then
  -- A late success counts: at once if nothing of it is being called, else when
  -- that call's lease ends.
  if o.f.lease then set(o, 'mark', 'success') else finish(o, 'success', 2000) end
end
save(o)

local attempts = {}
for k = 18, #ARGV do attempts[#attempts + 1] = ARGV[k] end
local leases = handout(l, attempts, tonumber(ARGV[17]), not fresh)
save_lane(l)
local due = look(l)
return {'ok', held and 'held' or (fresh and 'late' or 'again'), (due and due <= now) and 1 or 0,
  view(o, ARGV[16] == '1'), int(l.blocked), leases}
