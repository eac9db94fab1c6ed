-- The attempt log: fields r:1, r:2 and so on, each 'k' or 'u' (the outcome is known or
-- unknown), the attempt id, and the row.
local ROW_ID = 37

local function row_of(o, attempt)
  for i = 1, tonumber(o.f.rows or 0) do
    if sub(o.f['r:' .. i], 2, ROW_ID) == attempt then return i end
  end
end

-- untold says that the final event has to go out again: it tells the whole log.
local function untold(o)
  if o.f.acked_final == '1' then set(o, 'acked_final', '0') end
end

-- write_row appends a log row, or completes the one with the same id. It gives
-- false when a row that already had its outcome is written again, else its place.
local function write_row(o, attempt, row, unknown)
  local at = row_of(o, attempt)
  if not at then
    untold(o)
    at = tonumber(o.f.rows or 0) + 1
    set(o, 'rows', int(at))
    set(o, 'r:' .. at, (unknown and 'u' or 'k') .. attempt .. row)
    return at
  end
  local field = 'r:' .. at
  -- An unknown outcome adds nothing, and the row stays open for the known one.
  if unknown or sub(o.f[field], 1, 1) == 'k' then return false end
  untold(o)
  set(o, field, 'k' .. attempt .. row)
  -- The completed row has to go out again, and acks of its old form must not count.
  if tonumber(o.f.acked_rows or 0) >= at then set(o, 'acked_rows', int(at - 1)) end
  set(o, 'row_version', int(tonumber(o.f.row_version or 0) + 1))
  return at
end

-- spare makes the k-th row id of those that the caller gave as one.
local function spare(base, k) return sub(base, 1, 34) .. string.format('%02x', k) end

local function explain(o, row_id, text)
  write_row(o, row_id, '{"s":' .. int(us) .. ',"e":' .. int(us) .. ',"st":"failed","d":"' .. text .. '"}')
end

local DEADLINE = 'not written: the deadline of the operation passed'
local OVERTAKEN = 'not written: a newer update of this user had already gone'
local CANCELLED = 'not written: the operation was cancelled'
