-- restore: ARGV '', token, token_ms, id, its bytes, connection, user, partner, doc, seq, deadline,
-- max_attempts, sync, status ('' = not known to have ended), updated_us, attempted,
-- blocked_ms, next_ms, key scope, key fingerprint, key_ms, ttl_s, the whole record for its page ('' = it
-- has not ended), n, then n times: attempt id, row, unknown (0|1), success (0|1)
-- Puts back what a stream says of one operation: inserts what is missing, never
-- takes anything back. Only the holder of the shard's rebuild token may.
if call('GET', P .. 'rebuild') ~= ARGV[2] then return {'lost'} end
call('PEXPIRE', P .. 'rebuild', ARGV[3])
local id, bin, c, user, seq, status, whole = ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[10]), ARGV[14], ARGV[23]
local l = lane(c)
if tonumber(ARGV[17]) > l.blocked then note(l, 'blocked', tonumber(ARGV[17])) end

local function to_page()
  call('HSET', page_key(id), page_field(bin), whole)
  call('EXPIRE', page_key(id), ARGV[22])
end

local o = open(id)
if not o then
  local page = paged(id, bin)
  if page or (whole ~= '' and not unlisted) then
    -- A row that was completed in the page and is not in the stream yet stays.
    if whole ~= '' and not (page and call('ZSCORE', P .. 'outbox', id)) then to_page() end
    if not page then
      index(ARGV[8], seq, bin)
      keep_key(ARGV[19], ARGV[20], ARGV[21], seq, bin)
      if seq > l.seq then note(l, 'seq', seq) end
    end
    save_lane(l)
    return {'ok', page and 0 or 1}
  end
end
local made = 0
if not o then
  o = put(l, user, ARGV[8], id, bin, ARGV[9], seq, tonumber(ARGV[11]), ARGV[12], ARGV[13])
  -- A call of it may have been under way when the data was lost.
  set(o, 'repeat', '1')
  made = 1
end
set(o, 'acked_accepted', '1')

local success, rows = false, tonumber(ARGV[24])
for k = 1, rows do
  local at = 24 + (k - 1) * 4
  local attempt = ARGV[at + 1]
  write_row(o, attempt, ARGV[at + 2], ARGV[at + 3] == '1')
  if ARGV[at + 4] == '1' then success = true end
  if o.f.lease == attempt then drop(o) end
end
if rows > 0 then set(o, 'acked_rows', o.f.rows) end
if tonumber(ARGV[16]) > tonumber(o.f.attempted or 0) then set(o, 'attempted', ARGV[16]) end
keep_key(ARGV[19], ARGV[20], ARGV[21], seq, bin)

if o.f.st == 'pending' then
  if status ~= '' or success then
    if o.f.lease then drop(o) end
    finish(o, status ~= '' and status or 'success', 0)
  else
    if tonumber(ARGV[18]) > tonumber(o.f.nb or 0) then
      set(o, 'nb', ARGV[18])
      call('ZREM', P .. 'ready:' .. c, id) -- its score is its turn
    end
    free(o)
  end
end
if status ~= '' then
  set(o, 'acked_final', '1')
  set(o, 'upd', ARGV[15])
  if unlisted then
    call('ZREM', P .. 'outbox', id)
    save(o)
    call('EXPIRE', op_key(id), ARGV[22])
  elseif tonumber(o.f.rows or 0) == rows then
    call('ZREM', P .. 'outbox', id)
    call('DEL', op_key(id))
    to_page()
    o.new, o.gone = {}, {}
  end
end
save(o)
save_lane(l)
look(l)
return {'ok', made}
