-- pause: ARGV gen, connection, paused (0|1)
if stale() then return {'stale'} end
call('HSET', P .. 'lane:' .. ARGV[2], 'paused', ARGV[3])
look(ARGV[2])
return {'ok'}
