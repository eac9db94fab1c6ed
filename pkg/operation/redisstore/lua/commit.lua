-- commit: ARGV '', token, new generation, quarantine_ms, older history follows (0|1),
-- then connections. Ends a rebuild. Calls that were under way when the data was lost
-- are given the time to die before anything is handed out.
if call('GET', P .. 'rebuild') ~= ARGV[2] then return {'lost'} end
call('SET', P .. 'not_before', int(now + tonumber(ARGV[4])))
call('SET', P .. 'gen', ARGV[3])
call('DEL', P .. 'beat')
if ARGV[5] == '1' then
  call('SET', P .. 'history', '1')
else
  call('DEL', P .. 'rebuild', P .. 'history')
end
for i = 6, #ARGV do look(lane(ARGV[i])) end
for _, c in ipairs(call('ZRANGE', P .. 'due', 0, -1)) do look(lane(c)) end
return {'ok'}
