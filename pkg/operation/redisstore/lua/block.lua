-- block: args gen, connection, ms. Holds the lane's calls back for so long from now;
-- a block that ends later stays. Less than 0 lets them go at once, and closes the breaker.
if stale() then return {'stale'} end
local l, ms = lane(args[2]), tonumber(args[3])
if ms < 0 then
  for _, name in ipairs({'blocked', 'fails', 'open'}) do
    if l[name] > 0 then note(l, name, 0) end
  end
elseif now + ms > l.blocked then
  note(l, 'blocked', now + ms)
end
save_lane(l)
look(l)
return {'ok'}
