-- block: ARGV gen, connection, ms. Holds the lane's calls back for so long from now;
-- a block that ends later stays.
if stale() then return {'stale'} end
local c, till = ARGV[2], now + tonumber(ARGV[3])
if till > lane(c).blocked then call('HSET', P .. 'lane:' .. c, 'blocked', int(till)) end
look(c)
return {'ok'}
