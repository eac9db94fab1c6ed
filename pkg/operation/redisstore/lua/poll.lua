-- poll: ARGV generation and beat that this process last saw ('' and 0: none), process
-- id, raise (0|1), most lanes, mark of its that was last answered. Redis went back if a
-- generation is older than one seen before (they are UUIDv7), or if under the same one
-- this process's own beat or mark is lower than it remembers. Then the generation is
-- withdrawn, and the shard is rebuilt.
local gen, beats = call('GET', P .. 'gen') or '', P .. 'beat'
if gen == '' then return {'', '0', {}, 0} end
local mine = tonumber(call('HGET', beats, ARGV[3]) or 0)
local mark = tonumber(call('HGET', P .. 'marks', ARGV[3]) or 0)
if gen < ARGV[1] or (gen == ARGV[1] and (mine < tonumber(ARGV[2]) or mark < tonumber(ARGV[6]))) then
  call('DEL', P .. 'gen')
  return {'', '0', {}, 0}
end
if ARGV[4] == '1' then
  mine = math.max(mine, now)
  call('HSET', beats, ARGV[3], int(mine))
end
local unfinished = 0
if call('EXISTS', P .. 'history') == 1 and call('EXISTS', P .. 'rebuild') == 0 then unfinished = 1 end
return {gen, int(mine), call('ZRANGEBYSCORE', P .. 'due', '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, ARGV[5]), unfinished}
