-- Shared by every script. What stands outside of functions is made once, when Redis
-- loads the library, and is no script's own. run gives each script its arguments: args[1]
-- is what its caller knows of the shard, P the shard's prefix with its hash tag, so all
-- keys derived from it live in one slot.
-- Times: us and now are Redis's clock in micro- and milliseconds; scores are ms,
-- except seq and tat, which are us. Numbers reach Redis with all their digits.
-- These are set by the first run: while a library is loaded, Redis hides them.
local call, sub, byte, char, format, match, max, min, floor
local P, N, unlisted, process, args
local us, now
local shard -- what run has read of it, see know; seq is that of its newest operation

-- names are those of a shard's keys that every script needs.
local shards = {}
local function names(prefix)
  local n = shards[prefix]
  if not n then
    n = {}
    for _, name in ipairs({'gen', 'not_before', 'seq', 'due', 'outbox', 'rebuild', 'history', 'beat'}) do
      n[name] = prefix .. name
    end
    shards[prefix] = n
  end
  return n
end

-- words splits a text of words and numbers that few callers vary, and keeps what it found.
local kept_words, kept_count, MOST_KEPT = {}, 0, 4096
local function words(text)
  local w = kept_words[text]
  if w then return w end
  w = {}
  for word in string.gmatch(text, '%S+') do w[#w + 1] = tonumber(word) or word end
  if kept_count >= MOST_KEPT then kept_words, kept_count = {}, 0 end
  kept_words[text], kept_count = w, kept_count + 1
  return w
end

-- change notes a field of a record or a lane, to be written with the others.
local function change(of, name, value)
  local new = of.new
  if not new then
    new = {}
    of.new = new
  end
  new[#new + 1], new[#new + 2] = name, value
end

-- gathered is what accept_many collects, see gather; nil for all others.
local gathered

-- int writes a whole number into a text: Lua's own form is 1.79e+15, and what Redis makes
-- of a number that is an argument takes ten times as long.
local function int(x) return format('%d', x) end

local GEN = 36 -- characters
local LIFE = 172800000 -- ms; twice as long as a process believes in what it noted

-- lives notes that the process lives: its beat is when it last polled, or less than 0 for one
-- that has only called. Each life leaves its beat and its mark in a shard; a new one takes
-- away those that have not been heard of for long.
local function lives(prefix, polls)
  local beats = names(prefix).beat
  if call(polls and 'HSET' or 'HSETNX', beats, process, polls and now or -now) == 0 then return end
  local all = call('HGETALL', beats)
  for i = 1, #all, 2 do
    if math.abs(tonumber(all[i + 1])) < now - LIFE then
      call('HDEL', beats, all[i])
      call('DEL', prefix .. 'mark:' .. all[i])
    end
  end
end

-- know reads the shards of a run, and numbers the run in each of them: that is the process's
-- mark there. A caller tells of a shard the generation that it knows, whether this run gets
-- a number (+ or -), and the highest number that it was answered under this generation
-- (0 for none). A shard with a lower mark went back in time: it does not remember what it
-- has answered. So did one whose generation is older than the caller's: they are UUIDv7. Then
-- its generation is withdrawn. Numbers are given here and not by the
-- caller, since of two runs under way at once nobody else knows which comes first.
local function know(prefixes, callers)
  local ask = {}
  for k, prefix in ipairs(prefixes) do
    local n, i = names(prefix), 4 * k
    ask[i - 3], ask[i - 2], ask[i - 1], ask[i] = n.gen, n.not_before, n.seq, prefix .. 'mark:' .. process
  end
  local v = call('MGET', unpack(ask))
  local known, marks, raised = {}, {}, {}
  for k, prefix in ipairs(prefixes) do
    local caller, i = callers[k], 4 * k
    local gen, raise, noted = v[i - 3] or '', sub(caller, GEN + 1, GEN + 1) == '+', tonumber(sub(caller, GEN + 2))
    local seen = sub(caller, 1, GEN)
    if gen ~= '' and gen < seen then -- in a run that writes nothing it is left to the next
      pcall(call, 'DEL', ask[i - 3])
      gen = ''
    end
    local mark, same = tonumber(v[i] or 0), gen ~= '' and gen == seen
    if same and mark < noted then
      call('DEL', ask[i - 3])
      gen, same = '', false
    end
    marks[k] = 0
    if raise and same then
      if mark == 0 then lives(prefix, false) end
      marks[k] = mark + 1
      raised[#raised + 1], raised[#raised + 2] = ask[i], int(mark + 1)
    end
    known[k] = {prefix = prefix, gen = gen, same = same, again = mark ~= noted, closed = tonumber(v[i - 2] or 0), seq = tonumber(v[i - 1] or 0)}
  end
  return known, marks, raised
end

-- repeated says that this run may have been here before: the client library sends what it got
-- no answer to a second time, with the same arguments. When it was run the first time, that
-- raised the mark over what they say.
local function repeated() return shard.again end

-- closed is the time before which nothing of the shard is handed out.
local function closed() return shard.closed end

-- stale says that the caller knows another filling of the shard.
local function stale() return not shard.same end
