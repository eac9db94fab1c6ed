-- commit: args '', token, new generation, quarantine_ms, older history follows (0|1), how
-- many connections are paused, these, then others. Ends a rebuild. Calls that were under way when the data was lost
-- are given the time to die before anything is handed out.
if call('GET', N.gen) == args[3] then return {'ok'} end -- it has come before
if call('GET', N.rebuild) ~= args[2] then return {'lost'} end
shard.closed = now + tonumber(args[4])
call('SET', N.not_before, int(shard.closed))
call('SET', N.gen, args[3])
for _, dead in ipairs(call('HKEYS', N.beat)) do call('DEL', P .. 'mark:' .. dead) end -- or alive: it begins anew
call('DEL', N.beat)
if args[5] == '1' then
  call('SET', N.history, '1')
else
  call('DEL', N.rebuild, N.history)
end
local others = 7 + tonumber(args[6])
for i = 7, #args do
  local l = lane(args[i])
  if i < others then
    note(l, 'paused', 1)
    save_lane(l)
  end
  look(l)
end
for _, c in ipairs(call('ZRANGE', N.due, 0, -1)) do look(lane(c)) end
return {'ok'}
