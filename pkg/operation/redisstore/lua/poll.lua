-- poll: args caller, most lanes. Redis went back if a generation is older than one that
-- the caller has seen (they are UUIDv7), or if under the same one the caller's mark is
-- lower than it was answered. Then the generation is withdrawn, and the shard is
-- rebuilt. A caller with a new mark writes its beat too.
local gen, beats = call('GET', N.gen) or '', N.beat
if gen == '' then return {'', '0', {}, 0} end
local known, process, mark, noted = caller()
local mark_key = P .. 'mark:' .. process
local kept = tonumber(call('GET', mark_key) or 0)
if gen < known or (gen == known and kept < noted) then
  call('DEL', N.gen)
  return {'', '0', {}, 0}
end
if mark > 0 then
  if call('HSET', beats, process, now) == 1 then
    -- Each life of a process leaves a beat; a new one takes away those of a day ago.
    local all = call('HGETALL', beats)
    for i = 1, #all, 2 do
      if tonumber(all[i + 1]) < now - 86400000 then call('HDEL', beats, all[i]) end
    end
  end
  call('SET', mark_key, max(mark, kept), 'EX', MARK_LIFE)
end
local beat = call('HGET', beats, process) or '0'
local unfinished = 0
if call('EXISTS', N.history) == 1 and call('EXISTS', N.rebuild) == 0 then unfinished = 1 end
return {gen, beat, call('ZRANGEBYSCORE', N.due, '-inf', now, 'WITHSCORES', 'LIMIT', 0, args[2]), unfinished, now}
