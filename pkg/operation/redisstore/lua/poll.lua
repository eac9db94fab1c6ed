-- poll: args caller, most lanes, beat (0|1). Redis went back if a generation is older than
-- the one that the caller has seen (they are UUIDv7): then it is withdrawn, as one with too
-- low a mark is, and the shard is rebuilt. With beat the caller says that it lives.
local gen = shard.gen
if gen ~= '' and gen < sub(args[1], 1, GEN) then
  call('DEL', N.gen)
  gen = ''
end
if gen == '' then return {'', '0', {}, 0, now} end
if args[3] == '1' then lives(P, true) end
local beat = call('HGET', N.beat, process) or '0'
local unfinished = 0
if call('EXISTS', N.history) == 1 and call('EXISTS', N.rebuild) == 0 then unfinished = 1 end
return {gen, beat, call('ZRANGEBYSCORE', N.due, '-inf', now, 'WITHSCORES', 'LIMIT', 0, args[2]), unfinished, now}
