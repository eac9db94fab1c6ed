-- A script that accepts many operations reads what they share once, and writes it once,
-- by write_down. A record is written after all that names it, as with a single one.
local lanes, order, sizes = {}, {}, {} -- lanes by connection, and how many are in a set
local sets, lists, lives, counts, records = {}, {}, {}, {}, {}

local read_lane, leave_now, count_now, save_now = lane, leave, count, save

lane = function(c)
  if not lanes[c] then
    lanes[c] = read_lane(c)
    order[#order + 1] = lanes[c]
  end
  return lanes[c]
end

leave = function() end
save = function(o) records[#records + 1] = o end
count = function(partner, by) counts[partner] = (counts[partner] or 0) + by end

size = function(key)
  if not sizes[key] then sizes[key] = call('ZCARD', key) end
  return sizes[key]
end

add = function(key, score, member)
  local all = sets[key] or {}
  sets[key] = all
  all[#all + 1], all[#all + 2] = score, member
  if sizes[key] then sizes[key] = sizes[key] + 1 end
end

push = function(key, entry, life)
  local all = lists[key] or {}
  lists[key] = all
  all[#all + 1] = entry
  lives[key] = life or lives[key]
end

local function write_down()
  for key, all in pairs(lists) do call('RPUSH', key, unpack(all)) end
  for key, life in pairs(lives) do call('EXPIRE', key, life) end
  for key, all in pairs(sets) do call('ZADD', key, unpack(all)) end
  for partner, by in pairs(counts) do count_now(partner, by) end
  for _, o in ipairs(records) do save_now(o) end
  for _, l in ipairs(order) do leave_now(l) end
end
