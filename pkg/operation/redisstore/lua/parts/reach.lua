-- reached keeps what a call told about the provider: until when it asked to wait, and
-- whether it could be reached, which the breaker counts.
local function reached(l, block_ms, reach, threshold, open_ms)
  if block_ms > 0 and now + block_ms > l.blocked then note(l, 'blocked', now + block_ms) end
  if reach == 'unreached' then
    note(l, 'fails', l.fails + 1)
    if l.fails >= threshold then note(l, 'open', now + open_ms) end
  elseif reach == 'answered' and (l.fails > 0 or l.open > 0) then
    note(l, 'fails', 0)
    note(l, 'open', 0)
  end
end
