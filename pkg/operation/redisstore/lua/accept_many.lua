-- accept_many: args gen, and the arguments of accept_one for each operation, in the order in
-- which they are accepted. It gives an answer for each.
if stale() then return {'stale'} end
gather()
local out, answers = {}, {}
for i = 2, #args, ACCEPT_FIELDS do
  local id = args[i]
  if not answers[id] then
    answers[id] = accept_one(i, not repeated())
    us = us + 1 -- what is accepted next comes after it, in every list
  end
  out[#out + 1] = answers[id]
end
write_down()
return {'ok', out}
