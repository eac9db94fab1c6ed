-- Shared by every script. A script is a function of one library: what stands here
-- outside of functions is made once, when Redis loads the library, and is no script's own.
-- enter gives each run its arguments. keys[1] is the shard's prefix with its hash tag, so
-- all keys derived from it live in one slot; keys[2] is given when no lists of
-- operations are kept. args[1] is the caller's generation.
-- Times: us and now are Redis's clock in micro- and milliseconds; scores are ms,
-- except seq and tat, which are us. Numbers reach Redis with all their digits.
local call, sub, max, min, floor -- set by the first run: while a library is loaded, Redis hides them
local P, N, unlisted, args
local us, now
local until_open -- see closed

-- names are those of a shard's keys that every script needs.
local shards = {}
local function names(prefix)
  local n = shards[prefix]
  if not n then
    n = {}
    for _, name in ipairs({'gen', 'not_before', 'due', 'outbox', 'outstanding', 'rebuild', 'history', 'beat'}) do
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

local function enter(keys, argv)
  if not call then call, sub, max, min, floor = redis.call, string.sub, math.max, math.min, math.floor end
  P, unlisted, args, until_open, gathered = keys[1], keys[2], argv, nil, nil
  N = names(P)
  local T = call('TIME')
  us = tonumber(T[1]) * 1000000 + tonumber(T[2])
  now = floor(us / 1000)
end

-- int writes a number into a text: Lua's own form is 1.79e+15.
local function int(x) return string.format('%.0f', x) end

-- caller splits args[1]: the generation that the caller knows, and mostly the process,
-- a number for this question (its mark, 0 for none) and the highest mark of the
-- process that was answered under this generation, in 36, 16, 16 and 16 characters.
local function caller()
  local a = args[1]
  if #a < 84 then return a, nil, 0, 0 end
  return sub(a, 1, 36), sub(a, 37, 52), tonumber(sub(a, 53, 68)), tonumber(sub(a, 69, 84))
end

local MARK_LIFE = 172800 -- s; twice as long as a process believes in what it noted

-- closed is the time before which nothing of the shard is handed out.
local function closed()
  if not until_open then until_open = tonumber(call('GET', N.not_before) or 0) end
  return until_open
end

-- stale says that the caller knows another filling of the shard, or that this one went
-- back: it does not remember what it has answered. Then it is withdrawn.
local function stale()
  local gen, process, mark, noted = caller()
  local mark_key = process and P .. 'mark:' .. process
  local v = call('MGET', N.gen, N.not_before, mark_key or N.gen)
  until_open = tonumber(v[2] or 0)
  if v[1] ~= gen then return true end
  if not process then return false end
  local kept = tonumber(v[3] or 0)
  if kept < noted then
    call('DEL', N.gen)
    return true
  end
  if mark > kept then call('SET', mark_key, mark, 'EX', MARK_LIFE) end
  return false
end
