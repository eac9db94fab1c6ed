-- accept_many: ARGV gen, and the arguments of accept_one for each operation, in the order in
-- which they are accepted. It gives an answer for each.
if stale() then return {'stale'} end
local out = {}
for i = 2, #ARGV, ACCEPT_FIELDS do out[#out + 1] = accept_one(i) end
return {'ok', out}
