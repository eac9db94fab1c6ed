-- accept: args gen, and the arguments of accept_one
if stale() then return {'stale'} end
return accept_one(2, false)
