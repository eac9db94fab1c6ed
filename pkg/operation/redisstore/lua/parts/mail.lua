-- Mailboxes: the outstanding operations of one user in accept order, and HELD before
-- them while one of them is being called.
local HELD = '!'
local function mail_key(c, user) return P .. 'mail:' .. c .. ':' .. user end

-- head makes the first of a mailbox ready, and only the first, unless one of the
-- mailbox is being called. What was the first before an older one came is not.
local function head(c, user)
  local first = call('ZRANGE', mail_key(c, user), 0, 1)
  if not first[1] or first[1] == HELD then return end
  call('ZADD', P .. 'ready:' .. c, 'NX', call('HGET', op_key(first[1]), 'nb') or '0', first[1])
  if first[2] then call('ZREM', P .. 'ready:' .. c, first[2]) end
end

-- grant gives an operation out; the caller saves it.
local function grant(l, o, attempt, lease_ms)
  set(o, 'lease', attempt)
  set(o, 'leased_us', int(us))
  call('ZADD', flight_key(l.c), int(now + lease_ms), o.id .. ':' .. attempt)
  call('ZREM', P .. 'ready:' .. l.c, o.id)
  call('ZADD', mail_key(l.c, o.user), -1, HELD)
end

-- drop takes the lease back; what follows is free or finish.
local function drop(o)
  call('ZREM', flight_key(o.conn), o.id .. ':' .. o.f.lease)
  unset(o, 'lease')
  unset(o, 'leased_us')
  o.held = true
end

-- free lets the next of the mailbox run: the operation itself, unless an older one came.
local function free(o)
  save(o)
  if o.held then call('ZREM', mail_key(o.conn, o.user), HELD) end
  o.held = false
  head(o.conn, o.user)
end

-- count keeps how many operations of a partner are outstanding in the shard.
local function count(partner, by)
  if unlisted then return end
  if call('HINCRBY', P .. 'outstanding', partner, by) <= 0 then call('HDEL', P .. 'outstanding', partner) end
end

-- finish ends an operation and saves it; it is called once, while it is pending and
-- unleased.
local function finish(o, status, delay)
  local c = o.conn
  set(o, 'st', status)
  set(o, 'upd', int(us))
  unset(o, 'mark')
  unset(o, 'renew')
  unset(o, 'nb')
  count(o.partner, -1)
  call('ZREM', P .. 'pend:' .. c, o.id)
  if o.held then
    call('ZREM', mail_key(c, o.user), o.id, HELD)
  else
    call('ZREM', P .. 'ready:' .. c, o.id)
    call('ZREM', mail_key(c, o.user), o.id)
  end
  o.held = false
  outbox(o.id, delay)
  save(o)
  head(c, o.user)
end

-- settle ends an operation whose lease has ended, if a mark says so.
local function settle(o, row_id, delay)
  local mark = o.f.mark
  if mark == 'success' then
    finish(o, 'success', delay)
  elseif mark == 'cancel' then
    explain(o, row_id, CANCELLED)
    finish(o, 'failed', delay)
  elseif mark == 'deadline' then
    explain(o, row_id, DEADLINE)
    finish(o, 'failed', delay)
  else
    return false
  end
  return true
end
