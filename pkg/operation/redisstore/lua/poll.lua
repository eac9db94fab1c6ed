-- poll: args caller, most lanes, beat (0|1). With beat the caller says that it lives. If it
-- lived later than now, the clock has been set back: then somebody looks at all lanes, of
-- which some would wait for a time of the old clock. That sets when they are due anew.
local MOST_LOOKS, STEPPED = 2000, 1000 -- ms
local gen = shard.gen
if gen == '' then return {'', '0', {}, 0, now} end
local beat = call('HGET', N.beat, process) or '0'
if args[3] == '1' then
  lives(P, true)
  if tonumber(beat) > now + STEPPED then
    local looks = {}
    for _, c in ipairs(call('ZRANGEBYSCORE', N.due, '(' .. int(now), '+inf', 'LIMIT', '0', int(MOST_LOOKS))) do
      looks[#looks + 1], looks[#looks + 2] = int(now), c
    end
    if looks[1] then call('ZADD', N.due, unpack(looks)) end
  end
  beat = int(now)
end
local unfinished = 0
if call('EXISTS', N.history) == 1 and call('EXISTS', N.rebuild) == 0 then unfinished = 1 end
return {gen, beat, call('ZRANGEBYSCORE', N.due, '-inf', now, 'WITHSCORES', 'LIMIT', 0, args[2]), unfinished, now}
