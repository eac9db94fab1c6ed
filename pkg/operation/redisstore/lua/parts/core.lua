-- Shared by every script. KEYS[1] is the shard's prefix with its hash tag, so
-- all keys derived from it live in one slot. KEYS[2] is given when no lists of
-- operations are kept. ARGV[1] is the caller's generation.
-- Times: us and now are Redis's clock in micro- and milliseconds; scores are ms,
-- except seq and tat, which are us.
local P, call, unlisted = KEYS[1], redis.call, KEYS[2]

local T = call('TIME')
local us = tonumber(T[1]) * 1000000 + tonumber(T[2])
local now = math.floor(us / 1000)

-- Lua numbers would print as 1.79e+15.
local function int(x) return string.format('%.0f', x) end

-- caller splits ARGV[1]: the generation that the caller knows, and mostly the process,
-- a number for this question (its mark, 0 for none) and the highest mark of the
-- process that was answered under this generation.
local function caller()
  local gen, process, mark, noted = string.match(ARGV[1], '^(%S+) (%S+) (%d+) (%d+)$')
  return gen or ARGV[1], process, tonumber(mark or 0), tonumber(noted or 0)
end

local MARK_LIFE = 172800 -- s; twice as long as a process believes in what it noted
local function mark_key(process) return P .. 'mark:' .. (process or '') end

-- until_open is the time before which nothing of the shard is handed out.
local until_open
local function closed()
  if not until_open then until_open = tonumber(call('GET', P .. 'not_before') or 0) end
  return until_open
end

-- stale says that the caller knows another filling of the shard, or that this one went
-- back: it does not remember what it has answered. Then it is withdrawn.
local function stale()
  local gen, process, mark, noted = caller()
  local v = call('MGET', P .. 'gen', P .. 'not_before', mark_key(process))
  until_open = tonumber(v[2] or 0)
  if v[1] ~= gen then return true end
  if not process then return false end
  local kept = tonumber(v[3] or 0)
  if kept < noted then
    call('DEL', P .. 'gen')
    return true
  end
  if mark > kept then call('SET', mark_key(process), int(mark), 'EX', MARK_LIFE) end
  return false
end
