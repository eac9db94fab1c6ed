-- accept_new: as accept, for an id that was made for this call: it is looked for only if the
-- call itself may come again.
if stale() then return {'stale'} end
return accept_one(2, not repeated())
