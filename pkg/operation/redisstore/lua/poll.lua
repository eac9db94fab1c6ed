-- poll: ARGV '', process id, beat this process last wrote ('0' = none), raise (0|1),
-- most lanes. A beat lower than its writer remembers means that Redis went back:
-- the generation is withdrawn, and the shard is rebuilt.
local gen, beats = call('GET', P .. 'gen') or '', P .. 'beat'
local mine = tonumber(call('HGET', beats, ARGV[2]) or 0)
if gen ~= '' and mine < tonumber(ARGV[3]) then
  call('DEL', P .. 'gen')
  return {'', '0', {}, 0}
end
if gen == '' then return {'', '0', {}, 0} end
if ARGV[4] == '1' then
  mine = math.max(mine, now)
  call('HSET', beats, ARGV[2], int(mine))
end
local due = call('ZRANGEBYSCORE', P .. 'due', '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, ARGV[5])
return {gen, int(mine), due, now}
