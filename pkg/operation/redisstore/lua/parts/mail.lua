-- Mailboxes: the outstanding operations of one user in accept order. A mailbox has one
-- turn, and nothing else makes a call of it: either its head is ready, or one of it is
-- being called. Whoever ends a call, or takes a ready one away, passes the turn on.
local function mail_key(c, user) return P .. 'mail:' .. c .. ':' .. user end

-- head gives the turn to the first of a mailbox.
local function head(c, user)
  local id, seq = unpack(call('ZRANGE', mail_key(c, user), '0', '0', 'WITHSCORES'))
  if id then call('ZADD', P .. 'ready:' .. c, call('HGET', op_key(id), 'nb') or int(turn_of(seq)), id) end
end

-- comes_first takes the turn for an operation that was put into its mailbox, if it came before
-- the one that has it and that is not being called. It says whether the caller has it now.
local function comes_first(o)
  local two = call('ZRANGE', mail_key(o.conn, o.user), 0, 1)
  return two[1] == o.id and (not two[2] or call('ZREM', P .. 'ready:' .. o.conn, two[2]) == 1)
end

-- grant gives an operation out; the caller saves it.
local function grant(l, o, attempt, lease_ms)
  o.lease = attempt
  set(o, 'lease', attempt .. ' ' .. int(us))
  call('ZADD', l.flight, int(now + lease_ms), o.id .. ':' .. attempt)
end

-- drop takes the lease back. The turn is the caller's then, to be passed on by free
-- or finish.
local function drop(o)
  call('ZREM', P .. 'flight:' .. o.conn, o.id .. ':' .. o.lease)
  set(o, 'lease', '')
  o.lease, o.turn = nil, true
end

-- free lets the next of the mailbox run: the operation itself, unless an older one came.
local function free(o)
  save(o)
  o.turn = false
  head(o.conn, o.user)
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
  call('ZREM', P .. 'pend:' .. c, o.id)
  call('ZREM', mail_key(c, o.user), o.id)
  outbox(o.id, delay)
  save(o)
  if o.turn or call('ZREM', P .. 'ready:' .. c, o.id) == 1 then head(c, o.user) end
  o.turn = false
end

-- After a loss an operation may come back late, when a newer write of its user has gone and ended:
-- nothing of the mailbox would tell. So for an hour (ms) the shard keeps which place of each
-- user has gone.
local GONE_LIFE = 3600000
local GONE_RECENT = 600000000 -- us; what a rebuild finds to have gone before is not kept

local function remembers_gone() return closed() > 0 and now - closed() < GONE_LIFE end

local function note_gone(c, user, seq)
  local key, field = P .. 'gone', c .. ':' .. user
  if tonumber(call('HGET', key, field) or 0) >= tonumber(seq) then return end
  if call('HSET', key, field, int(seq)) == 1 and call('HLEN', key) == 1 then call('PEXPIRE', key, 2 * GONE_LIFE) end
end

-- too_late says that a newer write of the operation's user has gone to the provider.
local function too_late(o)
  return remembers_gone() and tonumber(call('HGET', P .. 'gone', o.conn .. ':' .. o.user) or 0) > tonumber(o.seq)
end

local MOST_OVERTAKEN = '100' -- by one outcome

-- overtake ends what waits in a mailbox and is older than a write that has gone to the
-- provider: it would overwrite that. It is there after a loss only, put back late. A call
-- under way cannot be called back, unless it is over by now. It gives how many it ended;
-- base is for the ids of their rows.
local function overtake(c, user, seq, base, most, over)
  local n = 0
  for _, id in ipairs(call('ZRANGEBYSCORE', mail_key(c, user), '0', '(' .. seq, 'LIMIT', '0', most)) do
    local o = open(id)
    if over and o.lease then drop(o) end
    if not o.lease then
      n = n + 1
      explain(o, spare(base, n), OVERTAKEN)
      finish(o, 'failed', 0)
    end
  end
  return n
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
