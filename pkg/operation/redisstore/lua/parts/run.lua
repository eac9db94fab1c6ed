local MOST_UNPACKED = 4096 -- of what Lua's stack holds

-- run: keys: the prefixes of the shards that are called; args: whether lists are kept (1|0), the
-- process, what it knows of each shard (see know), then for each call: its shard's place
-- among the keys, the script's name, how many arguments follow, and these. It gives the
-- marks of the shards, then an answer for each call: one that fails leaves the others alone.
local function run(keys, argv)
  if not call then
    call, max, min, floor = redis.call, math.max, math.min, math.floor
    sub, byte, char, format, match = string.sub, string.byte, string.char, string.format, string.match
  end
  local T = call('TIME')
  us = tonumber(T[1]) * 1000000 + tonumber(T[2])
  now = floor(us / 1000)
  unlisted, process = argv[1] == '0', argv[2]
  local callers, i = {}, 3 + #keys
  for k = 1, #keys do callers[k] = argv[2 + k] end
  local known, marks, raised = know(keys, callers)
  local answers = {}
  while argv[i] do
    local place, count = tonumber(argv[i]), tonumber(argv[i + 2])
    shard, gathered = known[place], nil
    P = shard.prefix
    N = names(P)
    if count < MOST_UNPACKED then
      args = {callers[place], unpack(argv, i + 3, i + 2 + count)}
    else
      args = {callers[place]}
      for k = 1, count do args[k + 1] = argv[i + 2 + k] end
    end
    local done, answer = pcall(scripts[argv[i + 1]])
    if not done then answer = {err = type(answer) == 'table' and answer.err or 'ERR ' .. tostring(answer)} end
    answers[#answers + 1] = answer
    i = i + 3 + count
    us = us + 1 -- what is accepted next comes after it, in every list
  end
  for _, s in ipairs(known) do
    if s.grown then raised[#raised + 1], raised[#raised + 2] = names(s.prefix).seq, int(s.seq) end
  end
  if raised[1] then call('MSET', unpack(raised)) end
  return {marks, answers}
end
