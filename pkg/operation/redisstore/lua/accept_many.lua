-- accept_many: args gen, and the arguments of accept_one for each operation, in the order in
-- which they are accepted. It gives an answer for each.
if stale() then return {'stale'} end
local keys, asked = {}, {}
for i = 2, #args, ACCEPT_FIELDS do
  keys[#keys + 1] = op_key(args[i])
  local page = page_key(args[i])
  if not asked[page] then
    asked[page] = true
    keys[#keys + 1] = page
  end
end
local new = call('EXISTS', unpack(keys)) == 0

gather()
local out, answers = {}, {}
for i = 2, #args, ACCEPT_FIELDS do
  local id = args[i]
  if not answers[id] then
    answers[id] = accept_one(i, new)
    us = us + 1 -- what is accepted next comes after it, in every list
  end
  out[#out + 1] = answers[id]
end
write_down()
return {'ok', out}
