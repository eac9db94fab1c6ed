-- restore: args '', token, token_ms, id, its bytes, connection, user, partner, doc, seq, deadline,
-- max_attempts, sync, status ('' = not known to have ended), updated_us, attempted,
-- blocked_ms, next_ms, key scope, key fingerprint, key_ms, ttl_s, the whole record for its page ('' = it
-- has not ended), n, then n times: attempt id, row, unknown (0|1), success (0|1), then
-- the resource id and source id of a user that it created ('' = none)
-- Puts back what a stream says of one operation: inserts what is missing, never
-- takes anything back. Only the holder of the shard's rebuild token may.
if call('GET', N.rebuild) ~= args[2] then return {'lost'} end
call('PEXPIRE', N.rebuild, args[3])
local id, bin, c, user, seq, status, whole = args[4], args[5], args[6], args[7], tonumber(args[10]), args[14], args[23]
local l = lane(c)
if tonumber(args[17]) > l.blocked then note(l, 'blocked', tonumber(args[17])) end

local o = open(id)
if not o then
  local page = paged(id, bin)
  if page or (whole ~= '' and not unlisted) then
    -- A row that was completed in the page and is not in the stream yet stays.
    if whole ~= '' and not (page and call('ZSCORE', N.outbox, id)) then to_page(id, bin, whole, args[22]) end
    if not page then
      index(args[8], seq, bin)
      keep_key(args[19], args[20], args[21], seq, bin)
    end
    save_lane(l)
    return {'ok', page and 0 or 1}
  end
end
local made = 0
if not o then
  o = put(l, user, args[8], id, bin, args[9], seq, tonumber(args[11]), args[12], args[13])
  -- A call of it may have been under way when the data was lost.
  set(o, 'repeat', '1')
  made = 1
end
set(o, 'acked_accepted', '1')

-- What the stream has of the log: so many rows from its beginning, and whether the log is as
-- the fact tells it. A row that was completed here, or added, has to go out.
local success, rows, told, whole_log = false, tonumber(args[24]), tonumber(o.f.acked_rows or 0), true
for k = 1, rows do
  local at = 24 + (k - 1) * 4
  local attempt, unknown = args[at + 1], args[at + 3] == '1'
  local place = row_of(o, attempt)
  if unknown and place and sub(o.f['r:' .. place], 1, 1) == 'k' then
    whole_log, told = false, min(told, place - 1)
  else
    place = write_row(o, attempt, args[at + 2], unknown) or place
    if place == told + 1 then told = place end
  end
  if args[at + 4] == '1' then success = true end
  if o.lease == attempt then drop(o) end
end
if rows > 0 then set(o, 'acked_rows', int(told)) end
if tonumber(args[16]) > tonumber(o.f.attempted or 0) then set(o, 'attempted', args[16]) end
keep_key(args[19], args[20], args[21], seq, bin)

if pending(o) then
  if status ~= '' or success then
    if o.lease then drop(o) end
    finish(o, status ~= '' and status or 'success', 0)
  else
    if tonumber(args[18]) > tonumber(o.f.nb or 0) then
      set(o, 'nb', args[18])
      if call('ZREM', l.ready, id) == 1 then o.turn = true end -- its score is its turn
    end
    if o.turn then
      free(o)
    elseif made == 1 then
      save(o)
      if comes_first(o) then head(c, user) end
    end
  end
end
if status ~= '' then
  set(o, 'upd', args[15])
  created(o, args[25 + 4 * rows], args[26 + 4 * rows])
  if not whole_log or tonumber(o.f.rows or 0) ~= rows then -- the final event goes out again
    outbox(id, 0)
  elseif unlisted then
    set(o, 'acked_final', '1')
    call('ZREM', N.outbox, id)
    save(o)
    call('EXPIRE', op_key(id), args[22])
  else
    call('ZREM', N.outbox, id)
    call('DEL', op_key(id))
    to_page(id, bin, whole, args[22])
    o.new, o.gone = nil, nil
  end
end
save(o)
save_lane(l)
look(l)
return {'ok', made}
